"""What is kept of good results for ``reuse: unchanged``: ``reuse/<target>/<dag>.json``, a line of evidence for each node.

Each DAG writes its own document, so that no two writers meet; readers take the newest of all DAGs. Evidence that is old or
lost costs time, never a result: it is compared with what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.records import RECORD_VERSION
from dbt_flow.state.store import Store, get_json, put_json


def kept_evidence(store: Store, target: str, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The newest evidence for each of ``ids``, whichever DAG made it. What is damaged or newer than we know is none."""
    wanted = set(ids)
    found: dict[str, dict[str, Any]] = {}
    names: list[str] = []
    with suppress(DbtFlowError):
        names = store.list(f"reuse/{target}")
    for name in names:
        for node, line in _nodes(store, f"reuse/{target}/{name}").items():
            if node in wanted and isinstance(line, dict) and str(line.get("when")) > str(found.get(node, {}).get("when", "")):
                found[node] = line
    return found


def keep_evidence(store: Store, target: str, dag: str, lines: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Add to what is kept for a DAG; None takes a node's evidence away. A disk that is full costs the evidence."""
    key = f"reuse/{target}/{dag}.json"
    nodes = _nodes(store, key)
    for node, line in lines.items():
        if line is None:
            nodes.pop(node, None)
        else:
            nodes[node] = dict(line)
    with suppress(DbtFlowError):
        put_json(store, key, {"version": RECORD_VERSION, "nodes": nodes})


def _nodes(store: Store, key: str) -> dict[str, Any]:
    with suppress(DbtFlowError):
        document = get_json(store, key)
        if isinstance(document, dict) and document.get("version") == RECORD_VERSION and isinstance(document.get("nodes"), dict):
            return dict(document["nodes"])
    return {}
