"""The plan, as a frozen value: what ``dbt build`` of the DAG's selection would execute, and in which order it may.

Explaining a plan and running it are two readers of it. It holds no SQL and no secret, so it may be kept and sent anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dbt_flow.records import RECORD_VERSION, Node, Record


@dataclass(frozen=True)
class Step(Record):
    """A unit of the plan: a model with the tests it owns, a seed, a snapshot."""

    name: str
    """Readable and unique in the plan: the node's name, with the package where two share one."""
    nodes: tuple[str, ...]
    """Ids in the order in which they run: unit tests, the model, its data tests."""
    needs: tuple[str, ...] = ()
    """Names of the steps that must be good before."""


@dataclass(frozen=True)
class Decision(Record):
    """What a run does with one planned node, and why."""

    id: str
    decision: str
    """``run``, ``reuse``, ``skip`` or ``blocked``."""
    reason: str


@dataclass(frozen=True)
class Plan(Record):
    """What a DAG builds, in which order, on which target."""

    dag: str
    project: str
    """dbt's project name."""
    target: str
    adapter: str
    """dbt's adapter type: duckdb, snowflake, postgres."""
    nodes: tuple[Node, ...]
    """What ``dbt build`` would execute, in topological order."""
    edges: tuple[tuple[str, str], ...]
    """Between planned nodes, in the direction of the data; paths through ephemerals and unselected nodes are kept."""
    gates: tuple[tuple[str, str], ...]
    """From a test to a node that may not run when it fails. Sparse: what follows from others is left out."""
    steps: tuple[Step, ...]
    inlined: tuple[Node, ...] = ()
    """Ephemeral models of the selection: shown, not counted, not run by themselves."""
    surroundings: tuple[Node, ...] = ()
    """Sources and unselected parents that the plan reads, and exposures that stand on it."""
    vars: Mapping[str, Any] | None = None
    version: int = RECORD_VERSION

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """The inverse of :meth:`to_dict`."""
        plain = dict(data)
        kinds: dict[str, type[Record]] = {"nodes": Node, "inlined": Node, "surroundings": Node, "steps": Step}
        parts = {key: tuple(kind.from_dict(item) for item in plain.pop(key, ())) for key, kind in kinds.items()}
        plan = super().from_dict({**plain, "nodes": (), "steps": ()})
        for key, value in parts.items():
            object.__setattr__(plan, key, value)
        return plan

    @cached_property
    def digest(self) -> str:
        """A short digest of all that the plan says: the same plan, the same digest."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def by_id(self) -> Mapping[str, Node]:
        """Every node that the plan mentions."""
        return {node.id: node for node in (*self.surroundings, *self.inlined, *self.nodes)}
