"""What would make a run shorter: worked out from when its nodes really ran, said in a few sentences with seconds in them."""

from __future__ import annotations

from collections.abc import Mapping

from dbt_flow.plan.paths import critical_path as longest_path
from dbt_flow.plan.paths import ranks
from dbt_flow.plan.planned import Plan
from dbt_flow.report.timeline import Span
from dbt_flow.report.words import count, duration

MOST = 3
_SHORT = 5.0
"""Seconds: a shorter run needs no advice."""
_WORTH = 0.04
"""Of the whole: what saves less is not worth a sentence."""


def shorter(plan: Plan, ran: Mapping[str, Span], whole: float, lanes: int) -> list[str]:
    """At most :data:`MOST` sentences, what saves most first; none for a run that has nothing to give."""
    times = {key: span.end - span.start for key, span in ran.items()}
    floor = max(ranks(plan, times).values(), default=0.0)
    if whole < _SHORT or floor <= 0:
        return []
    found = [*_threads(whole, floor, sum(times.values()), lanes), *_slowest(plan, times, floor), *_tests(plan, times, floor)]
    worth = [(saved, text) for saved, text in found if saved >= _WORTH * whole]
    return [text for _, text in sorted(worth, key=lambda item: -item[0])[:MOST]]


def _threads(whole: float, floor: float, work: float, lanes: int) -> list[tuple[float, str]]:
    """With a thread for every node that could run, a run takes as long as its longest path."""
    gap = whole - floor
    if gap < 0.15 * whole or work < 0.5 * whole * lanes:
        return []
    return [(gap, f"More threads: with one for every node that could have run, at most {duration(gap)} less ({lanes} now).")]


def _slowest(plan: Plan, times: Mapping[str, float], floor: float) -> list[tuple[float, str]]:
    """What halving the slowest models of the longest path would give; another path is then the longest."""
    found = []
    for key in sorted(longest_path(plan, times), key=lambda k: -times.get(k, 0.0))[:2]:
        node = plan.by_id[key]
        half = {**times, key: times.get(key, 0.0) / 2}
        saved = floor - max(ranks(plan, half).values(), default=0.0)
        what = "test" if node.is_test else node.type
        text = (
            f"A faster {node.name}: the {what} takes {duration(times.get(key))} of the longest path; at half of it, {{}} less."
        )
        found.append((saved, text.replace("{}", duration(saved))))
    return found


def _tests(plan: Plan, times: Mapping[str, float], floor: float) -> list[tuple[float, str]]:
    """Tests stand between models: what the longest path would be if none of them had to be waited for."""
    on_path = [key for key in longest_path(plan, times) if plan.by_id[key].is_test]
    if not on_path:
        return []
    without = {key: 0.0 if plan.by_id[key].is_test else seconds for key, seconds in times.items()}
    saved = floor - max(ranks(plan, without).values(), default=0.0)
    few = f"{count(len(on_path), 'test')} on the longest path"
    return [(saved, f"Fewer tests that hold others up: {few}; without waiting for tests, {duration(saved)} less.")]
