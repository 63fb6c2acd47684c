"""``decide()``: what a run does with each planned node, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from dbt_flow.plan.planned import Decision, Plan

PAST = {"skipped": "was skipped", "cancelled": "was cancelled", "lost": "was lost", "fail": "failed", "error": "failed"}
"""A status of an earlier run, in words."""


def decide(
    plan: Plan,
    good_before: frozenset[str] = frozenset(),
    follows: str | None = None,
    *,
    why: str = "selected",
    before: Mapping[str, str] | None = None,
    overtaken: Mapping[str, str] | None = None,
) -> tuple[Decision, ...]:
    """One decision for each planned node, in the plan's order.

    A run of its own runs everything. A run that follows another runs what has no good result there, and everything planned
    that depends on it. The tests of a model that runs again run again too, unit tests included: its code may have changed.

    :param good_before: the ids with a good result in the run that this one follows.
    :param follows: that run, as ``CarrierRisk/12``; None for a run of its own.
    :param why: the reason of a plain run, as ``selected by tag:risk`` or ``claims the DAG``.
    :param overtaken: of those the ones that do not count any more, each with the reason: another run has built them since.
    :param before: the statuses in the run that this one follows, where they are known; for the reasons only.
    """
    if follows is None:
        return tuple(Decision(node.id, "run", why) for node in plan.nodes)
    waits: dict[str, list[str]] = defaultdict(list)
    for above, below in plan.edges:
        waits[below].append(above)
    before, overtaken = before or {}, overtaken or {}
    names = {node.id: node.name for node in plan.nodes}
    reasons: dict[str, str] = {}
    for node in plan.nodes:  # topological, so what stands above is decided
        again = next((above for above in waits[node.id] if above in reasons), None)
        if node.id in overtaken:
            reasons[node.id] = overtaken[node.id]
        elif node.id not in good_before:
            reasons[node.id] = _without_result(before.get(node.id), follows)
        elif again is not None:
            reasons[node.id] = f"depends on {names[again]}, which runs again"
    for node in plan.nodes:
        if node.is_test and node.id not in reasons and node.tests in reasons:
            reasons[node.id] = f"tests {names[node.tests or '']}, which runs again"
    return tuple(
        Decision(node.id, "run", reasons[node.id]) if node.id in reasons else Decision(node.id, "skip", f"good in {follows}")
        for node in plan.nodes
    )


def _without_result(status: str | None, follows: str) -> str:
    if status is None:
        return f"has no result in {follows}"
    return f"{PAST.get(status, f'ended as {status}')} in {follows}"
