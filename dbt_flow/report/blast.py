"""What a failure reaches downstream: nodes, exposures with their owners, and the DAGs and training flows that wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dbt_flow.plan.planned import Plan
from dbt_flow.report.causes import FAILED_KIND, Cause
from dbt_flow.report.extra import CardExtra, Waiting
from dbt_flow.report.words import one_line

MOST = 40


def blast(cause: Cause, plan: Plan | None, extra: CardExtra) -> dict[str, Any]:
    """``exposures`` as [name, owner], and ``waiting`` as [kind, name, owner, why it waits]."""
    if plan is None:
        return {"exposures": [], "waiting": []}
    reached = hit_by(cause, plan)
    exposures = [
        [one_line(node.name, 120), one_line(node.owner or "", 120)]
        for node in plan.surroundings
        if node.type == "exposure" and reached.intersection(node.parents)
    ]
    waiting = [row for one in extra.waiting if (row := _waits(one, reached, plan)) is not None]
    return {"exposures": exposures[:MOST], "waiting": waiting[:MOST]}


def hit_by(cause: Cause, plan: Plan) -> set[str]:
    """Ids of what is not as it should be because of a cause: the nodes themselves, what they test, what they block."""
    hit = {*cause.blocks, *(result.id for result in cause.results)}
    if cause.kind == FAILED_KIND:
        hit |= {node.tests for result in cause.results if (node := plan.by_id.get(result.id)) and node.tests}
    # What is inlined carries the trouble on.
    for node in plan.inlined:
        if hit.intersection(node.parents):
            hit.add(node.id)
    return hit


def _waits(one: Waiting, reached: Iterable[str], plan: Plan) -> list[str] | None:
    read = [node for node in one.reads if node in set(reached)]
    if not read and not one.starts:
        return None
    names = ", ".join(plan.by_id[node].name for node in read[:3] if node in plan.by_id)
    names += f" and {len(read) - 3} more" if len(read) > 3 else ""
    why = [f"reads {names}"] if names else []
    why += ["starts when this DAG has finished"] if one.starts else []
    return [one.kind, one_line(one.name, 120), one_line(one.owner, 120), one_line(", ".join(why), 300)]
