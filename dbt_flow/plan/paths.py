"""The longest paths through a plan: what a run cannot be faster than, and what should start first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from dbt_flow.plan.planned import Plan


def ranks(plan: Plan, seconds: Mapping[str, float]) -> Mapping[str, float]:
    """For each node the seconds of the longest path that begins with it. Start the highest first.

    :param seconds: what each node took; one that is missing counts as nothing.
    """
    return _longest(plan, seconds)[0]


def critical_path(plan: Plan, seconds: Mapping[str, float]) -> tuple[str, ...]:
    """The ids of the longest path through the plan, from its first node to its last; empty for an empty plan."""
    longest, following = _longest(plan, seconds)
    key = max(longest, key=longest.__getitem__, default=None)
    path = []
    while key is not None:
        path.append(key)
        key = following[key]
    return tuple(path)


def _longest(plan: Plan, seconds: Mapping[str, float]) -> tuple[dict[str, float], dict[str, str | None]]:
    below: dict[str, list[str]] = defaultdict(list)
    for above, under in (*plan.edges, *plan.gates):
        below[above].append(under)
    longest: dict[str, float] = {}
    following: dict[str, str | None] = {}
    for node in reversed(plan.nodes):
        heir = max(below[node.id], key=longest.__getitem__, default=None)
        longest[node.id] = seconds.get(node.id, 0.0) + (longest[heir] if heir else 0.0)
        following[node.id] = heir
    return {node.id: longest[node.id] for node in plan.nodes}, following
