"""When each node ran, by thread, and the chain of nodes that the run's length comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dbt_flow.plan.planned import Plan
from dbt_flow.records import GOOD, NodeResult
from dbt_flow.report.words import duration, moment, name_of

NARROW = 0.3
"""Per cent of the whole width below which bars are drawn together: nobody can see, or point at, a narrower one."""
MOST_NAMED = 24
"""Lanes up to which each step of a run of several has its own; beyond, they are drawn as close as they fit."""
_TOUCH = 0.05
"""Seconds by which two nodes of one thread may seem to overlap: dbt notes its times to the millisecond, and not at once."""


@dataclass(frozen=True)
class Span:
    """When one node ran, in seconds since the epoch."""

    result: NodeResult
    start: float
    end: float


def spans(results: Iterable[NodeResult]) -> dict[str, Span]:
    """The spans of the nodes that really ran."""
    found = {}
    for node in results:
        start, end = moment(node.started), moment(node.finished)
        if start and end and end >= start:
            found[node.id] = Span(node, start.timestamp(), end.timestamp())
    return found


def critical_path(plan: Plan, ran: Mapping[str, Span]) -> tuple[str, ...]:
    """The chain that ends with the last node to finish: before each node, the one that it had to wait for longest."""
    before: dict[str, list[str]] = defaultdict(list)
    for first, second in (*plan.edges, *plan.gates):
        if first in ran and second in ran:
            before[second].append(first)
    if not ran:
        return ()
    at: str | None = max(ran, key=lambda node: ran[node].end)
    chain: list[str] = []
    while at and at not in chain:
        chain.append(at)
        at = max(before[at], key=lambda node: ran[node].end, default=None)
    return tuple(reversed(chain))


def timeline(plan: Plan, results: Iterable[NodeResult]) -> dict[str, Any] | None:
    """The Gantt chart as numbers: lanes of bars in per cent of the whole; None when nothing ran."""
    ran = spans(results)
    if not ran:
        return None
    chain = critical_path(plan, ran)
    first = min(span.start for span in ran.values())
    whole = max(max(span.end for span in ran.values()) - first, 0.001)
    lanes = _lanes(ran.values())
    names = {node.id: node.name for node in plan.nodes}
    marked = set(chain)
    scale = (first, whole)
    return {
        "seconds": round(whole, 3),
        "lanes": [{"name": name, "bars": _bars(lane, scale, names, marked)} for name, lane in lanes],
        "ticks": _ticks(whole),
        "path": _path(chain, ran, names),
        "path_seconds": round(sum(ran[node].end - ran[node].start for node in chain), 3),
    }


def _lanes(ran: Collection[Span]) -> list[tuple[str, list[Span]]]:
    """The spans of each thread, and in a run of several steps of each step, with what the lane is called."""
    numbered = [lane for _, lanes in sorted(_threads(ran, lambda _: "").items(), key=_order) for lane in lanes]
    if any(span.result.step for span in ran):
        named = _threads(ran, lambda span: span.result.step)
        found = [
            (step if len(lanes) == 1 else f"{step} {place}", lane)
            for step, lanes in _by_step(named).items()
            for place, lane in enumerate(lanes, start=1)
        ]
        if len(found) <= MOST_NAMED:
            return found
    return [(f"{place}", lane) for place, lane in enumerate(numbered, start=1)]


def _by_step(threads: Mapping[tuple[str, str], list[list[Span]]]) -> dict[str, list[list[Span]]]:
    """The lanes of each step; the step that began first comes first."""
    steps: dict[str, list[list[Span]]] = defaultdict(list)
    for (step, _), lanes in sorted(threads.items(), key=lambda item: min(lane[0].start for lane in item[1])):
        steps[step or "taken over"] += lanes
    return steps


def _threads(ran: Iterable[Span], step: Callable[[Span], str]) -> dict[tuple[str, str], list[list[Span]]]:
    """Lanes by step and thread. Threads of two processes may bear one name: what overlaps stands in a lane of its own."""
    threads: dict[tuple[str, str], list[list[Span]]] = defaultdict(list)
    for span in sorted(ran, key=lambda s: (s.start, s.end)):
        lanes = threads[step(span), span.result.thread or "main"]
        free = next((lane for lane in lanes if lane[-1].end <= span.start + _TOUCH), None)
        if free is None:
            lanes.append([span])
        else:
            free.append(span)
    return threads


def _order(item: tuple[tuple[str, str], list[list[Span]]]) -> tuple[int, str]:
    name = item[0][1]
    digits = "".join(char for char in name if char.isdigit())
    return (int(digits[:9]) if digits else 0, name)


def _bars(lane: list[Span], scale: tuple[float, float], names: Mapping[str, str], marked: set[str]) -> list[list[Any]]:
    """Bars as [left, width, name, status, seconds, on the critical path, how many nodes]; narrow neighbours are one."""
    first, whole = scale
    bars: list[list[Any]] = []
    for span in lane:
        node = span.result
        left = (span.start - first) / whole * 100
        width = (span.end - span.start) / whole * 100
        narrow = width < NARROW and node.id not in marked
        last = bars[-1] if bars else None
        like_last = last and last[6] and (last[3] == node.status or (node.good and last[3] in GOOD))
        if narrow and last and like_last and left - (last[0] + last[1]) < NARROW and last[1] < 4:
            last[1] = round(left + width - last[0], 3)
            last[4] = round(last[4] + span.end - span.start, 3)
            last[6] += 1
            continue
        # The last field is how many nodes a bar stands for; 0 says that nothing may be added to it.
        name = names.get(node.id) or name_of(node.id)
        mark = 1 if node.id in marked else 0
        bars.append([round(left, 3), round(width, 3), name, node.status, round(span.end - span.start, 3), mark, int(narrow)])
    return bars


def _ticks(whole: float) -> list[list[Any]]:
    steps = [b * 10**e for e in range(-3, 7) for b in (1, 2, 5)] if whole < 60 else [15, 30, 60, 120, 300, 600, 900, 1800, 3600]
    steps += [7200, 14400, 43200, 86400]
    step = next((s for s in steps if whole / s <= 6), 86400)
    # A label right of 95 per cent would be cut off by the edge.
    return [
        [round(i * step / whole * 100, 2), _tick(i * step)] for i in range(int(whole / step) + 1) if i * step < whole * 0.95
    ]


def _tick(seconds: float) -> str:
    if seconds and seconds % 60 == 0:
        return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"
    return f"{seconds:g} s" if seconds < 60 else duration(seconds)


def _path(chain: tuple[str, ...], ran: Mapping[str, Span], names: Mapping[str, str]) -> list[list[Any]]:
    """The critical path as [name, status, seconds, seconds it waited although it could have begun]."""
    rows: list[list[Any]] = []
    for place, node in enumerate(chain):
        waited = ran[node].start - ran[chain[place - 1]].end if place else 0.0
        span = ran[node]
        name = names.get(node) or name_of(node)
        rows.append([name, span.result.status, round(span.end - span.start, 3), round(max(waited, 0), 3)])
    return rows
