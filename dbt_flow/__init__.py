"""dbt-flow: dbt on Metaflow.

This module holds the version and imports nothing: dbt imports every module named ``dbt_*`` that it finds on its path as a
plugin candidate, so an error here would break a user's plain ``dbt build``.
"""

__version__ = "0.1.0"
