"""dbt's own ``run_results.json`` (schema v6): one for a run, however often dbt was called for it, and also when dbt died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbt_flow.records import REUSED, NodeResult, RunResult, utc_text

SCHEMA = "https://schemas.getdbt.com/dbt/run-results/v6.json"


def merged_run_results(
    before: Mapping[str, Any] | None, now: Mapping[str, Any] | None, result: RunResult, dbt_version: str
) -> dict[str, Any]:
    """The entries of earlier attempts, replaced by those of this one; nodes that dbt never reported get an entry of ours.

    :param before: what was kept of earlier attempts; None for the first.
    :param now: what dbt wrote at the end of this attempt; None when it did not get so far.
    """
    earlier, latest_entries = (
        {entry["unique_id"]: entry for entry in (document or {}).get("results", ())} for document in (before, now)
    )
    entries: dict[str, Any] = {**earlier, **latest_entries}
    for node in result.nodes:
        # An attempt that died has told us of nodes that dbt had no time to write down.
        known = entries.get(node.id)
        if node.status != REUSED and (known is None or (node.id not in latest_entries and known["status"] != _word(node))):
            entries[node.id] = _entry(node)
    latest = now or before or {}
    metadata = {
        "dbt_schema_version": SCHEMA,
        "dbt_version": dbt_version,
        "generated_at": utc_text(),
        "env": {},
        **(latest.get("metadata") or {}),
    }
    return {
        "metadata": metadata,
        "results": list(entries.values()),
        "elapsed_time": result.seconds,
        "args": latest.get("args") or {},
    }


def joined_run_results(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What several calls of dbt wrote for one run, as one document; of a node the last entry. None when there is none."""
    if not parts:
        return None
    entries = {entry["unique_id"]: entry for part in parts for entry in part.get("results", ())}
    return {**parts[-1], "results": list(entries.values())}


def _entry(node: NodeResult) -> dict[str, Any]:
    """A node as dbt would have written it."""
    ours = _word(node) != node.status
    return {
        "unique_id": node.id,
        "status": _word(node),
        "timing": [{"name": "execute", "started_at": node.started, "completed_at": node.finished}] if node.started else [],
        "thread_id": node.thread or "",
        "execution_time": node.seconds,
        "adapter_response": {},
        "message": f"{node.status}: {node.reason}" if ours else node.message,
        "failures": node.failures,
        "compiled": node.compiled is not None,
        "compiled_code": node.compiled,
        "relation_name": None,
        "batch_results": None,
    }


def _word(node: NodeResult) -> str:
    """dbt has no words for ``cancelled`` and ``lost``: it calls them errors."""
    return "error" if node.status in ("cancelled", "lost") else node.status
