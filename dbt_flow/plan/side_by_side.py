"""Whether two runs of one plan, over different days, may go on at the same time."""

from __future__ import annotations

from dbt_flow.plan.planned import Plan

_VIEWS_AT_ONCE = ("snowflake", "bigquery", "databricks", "spark")
"""Adapters with which dbt replaces a view by one statement. With others it makes it beside and renames: two at once collide."""


def hindrance(plan: Plan, database: str | None, with_parameters: bool) -> str:
    """Why they may not; empty when they may.

    What every run replaces as a whole is one run's days or the other's, and whoever reads it beside the other reads the wrong
    ones. Only what is added to, day by day, is safe; and views, while no parameter is in them, where they are replaced at once.

    :param database: the DuckDB file, which one process holds
    :param with_parameters: whether each run is given parameters of its own, which views may hold
    """
    if database is not None:
        return f"one process at a time holds {database.rpartition('/')[2]}"
    safe = {"incremental", "view"} if plan.adapter in _VIEWS_AT_ONCE and not with_parameters else {"incremental"}
    for node in plan.nodes:
        if not node.is_test and node.materialized not in safe:
            return f"every run replaces {node.name} ({node.materialized or node.type}), which the others read"
    return ""
