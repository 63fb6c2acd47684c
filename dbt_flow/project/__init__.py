"""What dbt says: the manifest, the target, the selection, and every way in which dbt refuses.

With :mod:`dbt_flow.run` this is the one place that imports dbt. In reading order:

- :mod:`.place`       ``DbtProject``: which project, profile, target and vars (imports no dbt)
- :mod:`.parsing`     ``parse()`` asks dbt for the manifest and gives a ``Parsed``
- :mod:`.parse_cache` what is kept between parses, shared by processes
- :mod:`.selecting`   ``select()``: what ``dbt build`` of a selection takes, by dbt's own code
- :mod:`.facts_of`    ``facts()``: the manifest's facts of a selection, as records
- :mod:`.at_parse`    ``parameters_at_parse()``: run parameters that dbt would read too early
- :mod:`.refusals`    dbt's exceptions as ``ProjectError``, with a place and what to type next
- :mod:`.seams`       every private thing of dbt that is touched, one module each
"""
