"""What is kept of past runs beyond their records: a line for each run, and the last row counts of each node.

From it come trends, usual durations, since-when and what is out of the ordinary. It is bounded, and never needed: damage in it
costs the trend, never a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.records import REUSED, SKIPPED, RunResult
from dbt_flow.state.store import Store, encode, get_json, put_json, read_lines

KEPT = 500
"""Runs of a DAG on a target that are remembered at the least; twice as many at the most."""
_MOST_FAILED = 200  # ids of nodes that were not good, in one line
_COUNTS_KEPT = 12  # row counts of one node
_TRIM_EVERY = 300_000  # bytes of a log below which nobody looks whether it is too long


def remember(store: Store, target: str, dag: str, result: RunResult) -> None:
    """Add a run that was settled just now."""
    summary = {
        "run": result.run,
        "target": result.target,
        "status": result.status,
        "started": result.started,
        "seconds": result.seconds,
        "trigger": result.trigger,
        "counts": result.counts,
        "reason": result.reason,
        "failed": [node.id for node in result.nodes if not node.good and node.status != SKIPPED][:_MOST_FAILED],
    }
    key = f"history/{target}/{dag}.jsonl"
    store.append(key, encode(summary) + b"\n")
    # The run is told by now: whatever goes wrong from here on is no reason to say otherwise.
    with suppress(DbtFlowError, OSError, ValueError):
        _prune(store, key)
        _learn_rows(store, target, dag, result)


def history(store: Store, dag: str, target: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """Summaries of settled runs, newest first. Damage costs the damaged lines, never the reader."""
    lines: list[dict[str, Any]] = []
    for name in store.list("history") if target is None else [target]:
        lines += [line for line in read_lines(store, f"history/{name}/{dag}.jsonl") if _sound(line)]
    return sorted(lines, key=lambda line: str(line["started"]), reverse=True)[:limit]


def row_counts(store: Store, target: str, dag: str, before: str) -> dict[str, tuple[int, ...]]:
    """The row counts of each node in the runs before the run ``before``, oldest first."""
    known: Any = None
    with suppress(DbtFlowError):
        known = get_json(store, _rows_key(target, dag))
    found = {}
    for node, counts in known.items() if isinstance(known, Mapping) else ():
        with suppress(TypeError, ValueError):
            found[str(node)] = tuple(int(rows) for run, rows in counts if run != before)
    return {node: counts for node, counts in found.items() if counts}


def _sound(line: Mapping[str, Any]) -> bool:
    """Whether a line has what every reader takes for granted."""
    seconds, failed = line.get("seconds"), line.get("failed", [])
    return "run" in line and "started" in line and isinstance(seconds, (int, float, type(None))) and isinstance(failed, list)


def _prune(store: Store, key: str) -> None:
    raw = store.get(key) or b""
    if len(raw) > _TRIM_EVERY and raw.count(b"\n") > 2 * KEPT:
        store.trim(key, KEPT)


def _learn_rows(store: Store, target: str, dag: str, result: RunResult) -> None:
    """Of several writers at once the last one wins, which is good enough for what is usual."""
    counted = {node.id: node.rows for node in result.nodes if node.rows is not None and node.good and node.status != REUSED}
    if not counted:
        return
    known = None
    with suppress(DbtFlowError):
        known = get_json(store, _rows_key(target, dag))
    kept: dict[str, Any] = dict(known) if isinstance(known, Mapping) else {}
    for node, rows in counted.items():
        before = kept.get(node)
        kept[node] = [*(before if isinstance(before, list) else [])[-(_COUNTS_KEPT - 1) :], [result.run, rows]]
    planned = {node.id for node in result.nodes}
    put_json(store, _rows_key(target, dag), {node: counts for node, counts in kept.items() if node in planned})


def _rows_key(target: str, dag: str) -> str:
    return f"rows/{target}/{dag}.json"
