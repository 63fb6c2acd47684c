"""Runs that died while dbt still parsed, or before, are settled by the next who looks. Loads without dbt."""

from __future__ import annotations

from dbt_flow.pipeline.settle import settle_dead
from dbt_flow.records import RunResult, flow_name
from dbt_flow.state.begun import unheard
from dbt_flow.state.store import Store


def settle_unheard(store: Store, dag: str) -> list[RunResult]:
    """Settle the runs of a DAG that have begun, have no record, and whose processes are gone; gives their results."""
    dead, _ = unheard(store, dag)
    settled = [settle_dead(store, dag, number, flow_name(dag)) for number in dead]
    return [result for result in settled if result is not None]
