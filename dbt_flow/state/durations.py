"""How long nodes usually take: it puts the longest path first and estimates the end. Losing it costs time, never a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from dbt_flow.errors import DbtFlowError
from dbt_flow.records import NodeResult
from dbt_flow.state.store import Store, get_json, put_json

_WEIGHT = 0.5  # of the newest duration against what was known


def usual_durations(store: Store, target: str) -> dict[str, float]:
    """Seconds by node id on a target; empty when nothing is known or what is kept is damaged."""
    with suppress(DbtFlowError):
        known = get_json(store, _key(target))
        if isinstance(known, Mapping):
            return {str(node): float(value) for node, value in known.items() if isinstance(value, (int, float))}
    return {}


def learn_durations(store: Store, target: str, results: Iterable[NodeResult]) -> None:
    """Mix what nodes took now into what is known. Of several writers at once the last one wins, which is good enough."""
    known = usual_durations(store, target)
    for result in results:
        if result.status in ("success", "pass", "warn", "fail"):
            before = known.get(result.id, result.seconds)
            known[result.id] = round(before + _WEIGHT * (result.seconds - before), 4)
    with suppress(DbtFlowError):
        put_json(store, _key(target), known)


def _key(target: str) -> str:
    return f"durations/{target}.json"
