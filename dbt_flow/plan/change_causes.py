"""Why a node was skipped: the failures above it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from dbt_flow.plan.planned import Plan
from dbt_flow.records import BLOCKING, SKIPPED


def blockers(plan: Plan, results: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """For each ``skipped`` node of ``results`` (id to status), the nearest failed nodes above it, in the plan's order.

    Skipped nodes in between are followed upwards: they are no causes. Empty for a node that nothing above explains, as when
    dbt was told to stop at the first failure.
    """
    waits: dict[str, list[str]] = defaultdict(list)
    for above, below in (*plan.edges, *plan.gates):
        waits[below].append(above)
    place = {node.id: index for index, node in enumerate(plan.nodes)}
    found: dict[str, tuple[str, ...]] = {}
    for node in plan.nodes:
        if results.get(node.id) != SKIPPED:
            continue
        causes: set[str] = set()
        for above in waits[node.id]:
            status = results.get(above)
            if status in BLOCKING:
                causes.add(above)
            elif status == SKIPPED:
                causes.update(found[above])
        found[node.id] = tuple(sorted(causes, key=place.__getitem__))
    return found
