"""The story of a run: prepare a DAG into a plan, decide, build, settle the results into a record and a card.

- :mod:`.job`        what is to be done, and where everything is
- :mod:`.prepare`    ``prepare()``: from a DAG file to a plan; the fleet's selections
- :mod:`.upstream`   tables that other DAGs build and that are missing, ``--upstream``, ``--defer-to``
- :mod:`.attempt`    one attempt of a Metaflow task: its log, how it is stopped, its live card
- :mod:`.building`   what every call of dbt for a run shares
- :mod:`.execute`    ``execute()``: one attempt of a run of one step
- :mod:`.compiling`  what ``isolate:`` makes of a DAG, where it is launched
- :mod:`.isolation`  the flow of a run of several steps, and what is stored for them; loads without dbt
- :mod:`.unheard`    settles runs that died before they had a record
- :mod:`.isolated`   ``build_step()``: one step of such a run; :mod:`.calling` its call of dbt
- :mod:`.step_costs` what steps of their own cost
- :mod:`.settle`     what became of a run, also of one that died
- :mod:`.live`       the card while the run goes on

Nothing is imported here: ``settle`` must load without dbt.
"""
