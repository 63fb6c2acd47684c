"""The rows of the card's tables, worst first: models, tests, sources; and the warnings, those of row counts among them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from dbt_flow.plan.planned import Plan
from dbt_flow.records import GOOD, REUSED, RUNNING, SKIPPED, Node, NodeResult
from dbt_flow.report.extra import CardExtra
from dbt_flow.report.suspects import Upstream, source_name
from dbt_flow.report.words import name_of, one_line, plain_message, says_nothing

MOST_WARNINGS, MOST_EMPTY = 60, 30
FEWEST_RUNS = 3
"""Runs before anybody can say what is usual."""


def name(plan: Plan | None, node_id: str) -> str:
    """A node's name, whether the plan knows it or not."""
    node = plan.by_id.get(node_id) if plan else None
    return one_line(node.name if node else name_of(node_id), 200)


def tables(plan: Plan | None, by_id: Mapping[str, NodeResult], extra: CardExtra) -> dict[str, Any]:
    """The rows of the three tables.

    A model is [name, type, materialization, status, seconds, usual seconds, rows, usual rows, tests, reason, query], a
    test [name, status, failing rows, severity, tested, seconds, reason, query], a source
    [name, status, last loaded, age in seconds, rows, rows in the last good run, owner, description].
    """
    if plan is None:
        return {"models": [], "tests": [], "sources": []}
    tested: dict[str, Counter[str]] = defaultdict(Counter)
    # When thousands went wrong, a reason for each makes a page of megabytes that nobody reads.
    room = 200 if sum(not result.good for result in by_id.values()) <= 500 else 60
    models: list[list[Any]] = []
    tests: list[list[Any]] = []
    for node in plan.nodes:
        result = by_id.get(node.id) or NodeResult(id=node.id, status="waiting")
        seconds = round(result.seconds, 3) if result.finished or result.seconds else None
        last = [_reason(plan, result, room), one_line((result.query or {}).get("id", ""), 80)]
        if node.is_test:
            tested[node.tests or ""][result.status] += 1
            about = name(plan, node.tests) if node.tests else ""
            severity = node.severity or ""
            tests.append([one_line(node.name, 200), result.status, result.failures, severity, about, seconds, *last])
        else:
            usual = [_usual_seconds(node, extra), result.rows, usual_rows(extra, node.id)]
            kind = [one_line(node.name, 200), node.type, node.materialized or "", result.status, seconds]
            models.append([*kind, *usual, node.id, *last])
    for model in models:
        model[8] = ", ".join(f"{number} {status}" for status, number in sorted(tested[model[8]].items(), key=_bad_first))
    models.sort(key=lambda row: weight(row[3]))
    tests.sort(key=lambda row: weight(row[1]))
    return {"models": models, "tests": tests, "sources": _sources(plan, by_id, extra)}


def query_page(results: Iterable[NodeResult]) -> str:
    """Where a query of the run is shown, with ``{query}`` for its id; empty where no result knows."""
    told = ((result.query or {}) for result in results)
    known = ((str(query.get("link") or ""), str(query.get("id") or "")) for query in told)
    found = next(((link, key) for link, key in known if key and key in link), None)
    return (
        one_line(found[0].replace(found[1], "{query}"), 500) if found and found[0].startswith(("https://", "http://")) else ""
    )


def _sources(plan: Plan, by_id: Mapping[str, NodeResult], extra: CardExtra) -> list[list[Any]]:
    upstream = Upstream(plan, by_id, extra)
    rows = []
    for node in plan.surroundings:
        if node.type != "source":
            continue
        said = extra.freshness.get(node.id) or {}
        ago = said.get("max_loaded_at_time_ago_in_s")
        then = extra.last_good.rows.get(node.id) if extra.last_good else None
        status = "fresh" if said.get("status") == "pass" else str(said.get("status") or "")
        loaded = [str(said.get("max_loaded_at") or ""), float(ago) if isinstance(ago, (int, float)) else None]
        counts = [upstream.rows_now(node.id), then]
        rows.append(
            [source_name(node), status, *loaded, *counts, one_line(node.owner or "", 80), one_line(node.description, 160)]
        )
    order = {"error": 0, "runtime error": 0, "warn": 1}
    return sorted(rows, key=lambda row: (order.get(row[1], 2), row[0]))


def usual_rows(extra: CardExtra, node_id: str) -> int | None:
    """The median of a node's earlier row counts."""
    counts = extra.rows.get(node_id)
    return round(median(counts)) if counts else None


def _usual_seconds(node: Node, extra: CardExtra) -> float | None:
    seconds = extra.usual.get(node.id)
    return round(seconds, 2) if seconds is not None and extra.history else None


def empty_ones(plan: Plan | None, results: Iterable[NodeResult], extra: CardExtra) -> list[dict[str, Any]]:
    """Models that were built with no row at all, and never were before."""
    found = []
    for result in results:
        counts = extra.rows.get(result.id, ())
        built = result.good and result.status != REUSED and result.rows == 0
        if built and len(counts) >= FEWEST_RUNS and min(counts) > 0:
            found.append({"name": name(plan, result.id), "usual": round(median(counts)), "runs": len(counts)})
    return found


def warnings(plan: Plan | None, results: Iterable[NodeResult], extra: CardExtra) -> dict[str, Any]:
    """Tests that only warn, and models that are empty where they never were: ``shown``, ``empty``, ``total``."""
    results = tuple(results)
    warned = [node for node in results if node.status == "warn"]
    empty = empty_ones(plan, results, extra)
    shown = []
    for node in warned[:MOST_WARNINGS]:
        known = plan.by_id.get(node.id) if plan else None
        tested = name(plan, known.tests) if known and known.tests else ""
        said = "" if says_nothing(node.message) else one_line(plain_message(node.message), 200)
        shown.append({"name": name(plan, node.id), "failures": node.failures, "tested": tested, "message": said})
    return {"shown": shown, "empty": empty[:MOST_EMPTY], "total": len(warned) + len(empty)}


def _reason(plan: Plan, result: NodeResult, room: int) -> str:
    if result.reason:
        return one_line(result.reason, room)
    if result.status == SKIPPED and result.blocked_by:
        return "because of " + ", ".join(name(plan, node) for node in result.blocked_by[:3])
    if result.status not in GOOD and result.message and not says_nothing(result.message):
        return one_line(plain_message(result.message[:2000]), room)  # more of it is never shown here
    return ""


def _bad_first(item: tuple[str, int]) -> tuple[int, str]:
    return (weight(item[0]), item[0])


def weight(status: str) -> int:
    """Worst first: not good, running, skipped, warned, good, waiting."""
    order = {RUNNING: 1, SKIPPED: 2, "warn": 3, "waiting": 5}
    return order.get(status, 4 if status in GOOD else 0)
