"""When a running run will end: what is left, played through on the threads at work, by what each node usually takes."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median

from dbt_flow.plan.paths import ranks
from dbt_flow.plan.planned import Plan
from dbt_flow.records import NodeResult
from dbt_flow.report.words import moment


def seconds_left(
    plan: Plan, results: Iterable[NodeResult], running: Mapping[str, str], usual: Mapping[str, float], now: str
) -> float | None:
    """Seconds until the last node is done; None when too little is known of how long nodes take.

    :param running: node id to when it began
    :param usual: seconds by node id
    """
    done = {result.id: result for result in results}
    left = [node for node in plan.nodes if node.id not in done]
    known = sum(node.id in usual for node in left)
    at = moment(now)
    if not left or known * 2 < len(left) or at is None:
        return None
    times = _expected(plan, usual)
    for node_id, began in running.items():
        start = moment(began)
        if start is not None and node_id in times:
            # What takes longer than ever has some time to go, and nobody knows how much.
            times[node_id] = max(times[node_id] - (at - start).total_seconds(), 0.1 * times[node_id])
    threads = len({result.thread for result in done.values() if result.thread} | {f"now {node}" for node in running})
    workers = max(len(running), min(threads, len({r.thread for r in done.values() if r.thread}) or threads), 1)
    return _played(plan, times, frozenset(done), frozenset(running), workers)


def seconds_whole(plan: Plan, usual: Mapping[str, float], threads: int, left_out: Iterable[str] = ()) -> float | None:
    """Seconds that a run's building will take; None when too little is known of how long its nodes take.

    :param usual: seconds by node id
    :param left_out: ids of nodes that the run does not build
    """
    done = frozenset(left_out)
    left = [node.id for node in plan.nodes if node.id not in done]
    if not left or sum(key in usual for key in left) * 2 < len(left):
        return None
    return _played(plan, _expected(plan, usual), done, frozenset(), max(threads, 1))


def _expected(plan: Plan, usual: Mapping[str, float]) -> dict[str, float]:
    typical = {
        is_test: median([usual[n.id] for n in plan.nodes if n.is_test is is_test and n.id in usual] or [0.5])
        for is_test in (True, False)
    }
    return {node.id: usual.get(node.id, typical[node.is_test]) for node in plan.nodes}


def _played(plan: Plan, times: Mapping[str, float], done: frozenset[str], running: frozenset[str], workers: int) -> float:
    """Each worker takes the node with the longest path whose parents are done, as dbt-flow's queue does."""
    order = ranks(plan, times)
    waits: dict[str, int] = defaultdict(int)
    below: dict[str, list[str]] = defaultdict(list)
    for first, second in (*plan.edges, *plan.gates):
        if first not in done and second not in done:
            waits[second] += 1
            below[first].append(second)
    ready = [(-order[n.id], n.id) for n in plan.nodes if n.id not in done and n.id not in running and not waits[n.id]]
    heapq.heapify(ready)
    busy = [(times[node], node) for node in running if node in times and node not in done]
    heapq.heapify(busy)
    clock = 0.0
    while ready or busy:
        while ready and len(busy) < workers:
            _, node = heapq.heappop(ready)
            heapq.heappush(busy, (clock + times[node], node))
        clock, node = heapq.heappop(busy)
        for child in below[node]:
            waits[child] -= 1
            if not waits[child] and child not in running:
                heapq.heappush(ready, (-order[child], child))
    return clock
