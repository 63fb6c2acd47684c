"""A node's end as dbt's events tell it (``NodeInfo`` and ``RunResultMsg`` of dbt-common's protobuf)."""

from __future__ import annotations

from typing import Any

from dbt_flow.project.warehouse_words import advice
from dbt_flow.records import NodeResult, utc_moment, utc_text
from dbt_flow.run.labels import Labels
from dbt_flow.run.tries import Tries


def result_of(info: Any, run: Any, labels: Labels, tries: Tries) -> NodeResult:
    """What became of the node, with the query that it came from and the tries that it took."""
    is_test = info.resource_type in ("test", "unit_test")
    response = dict(run.adapter_response.items()) if run.adapter_response else {}
    rows = response.get("rows_affected")
    # Snowflake's answer to `create table as` and `create view` is one row: that it succeeded.
    is_statement = response.get("code") == "SUCCESS" and rows == 1 and info.materialized in ("table", "view")
    return NodeResult(
        id=info.unique_id,
        status=run.status,
        message=run.message or "",
        started=time_of(info.node_started_at),
        finished=time_of(info.node_finished_at),
        seconds=round(float(run.execution_time), 4),
        thread=run.thread or None,
        reason=_reason(run, tries.told(info.unique_id)),
        query=labels.query(info.unique_id, response, run.message or ""),
        failures=int(run.num_failures) if is_test and run.status != "skipped" else None,
        rows=int(rows) if isinstance(rows, (int, float)) and rows >= 0 and not is_statement else None,
    )


def time_of(text: str) -> str | None:
    """A time of dbt's, as we write times."""
    return utc_text(utc_moment(text)) if text else None


def _reason(run: Any, told: str) -> str:
    """What to do about a refusal of the warehouse's, after what was tried already."""
    known = advice(run.message or "") if run.status == "error" else None
    return "; ".join(part for part in (told, f"{known.what}: {known.hint}" if known else "") if part)
