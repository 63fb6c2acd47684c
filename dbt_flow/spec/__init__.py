"""What the analyst says: DAG files, read, checked, and explained.

    yamlfile.Document -> merge (defaults under the file) -> model (every key) -> dag (one DAG) -> fleet (all of them, together)

Beside them: ``values`` (durations, crons, zones), ``trigger``, ``params``, ``problems`` (pydantic's errors in our words),
``clock`` (the next starts), ``schema`` (for editors).
"""

from dbt_flow.spec.clock import Start, clock_warnings, next_starts
from dbt_flow.spec.dag_file import Dag, Selection
from dbt_flow.spec.fleet import Fleet, load_dag, load_fleet, project_of
from dbt_flow.spec.params import Param
from dbt_flow.spec.schema import json_schema
from dbt_flow.spec.trigger import Trigger
from dbt_flow.spec.values import Duration

__all__ = [
    "Dag",
    "Duration",
    "Fleet",
    "Param",
    "Selection",
    "Start",
    "Trigger",
    "clock_warnings",
    "json_schema",
    "load_dag",
    "load_fleet",
    "next_starts",
    "project_of",
]
