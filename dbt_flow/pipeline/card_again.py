"""The card of a run, made anew from whatever its record still has: the page may be gone, or a document in it damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.settle import Ending, card_extra, complete, judge, keep_run_results, plan_kept
from dbt_flow.plan.planned import Plan
from dbt_flow.records import FAILED, RUNNING, RunResult, flow_name, utc_text
from dbt_flow.report.card import card_document, render
from dbt_flow.state.runs import Attempt, RunRecord, goes_on

T = TypeVar("T")


_LIVE = 'id="announce"'
"""What only the page of a run that goes on has."""


def finish(record: RunRecord) -> None:
    """What a task that was killed between its record and its card still owed: dbt's results, and the final card."""
    result = _or_none(record.result)
    if result is None:
        return
    with suppress(DbtFlowError):
        if record.get_text("run_results.json") is None:
            keep_run_results(record, None, result)
        if _LIVE in (record.get_text("card.html") or _LIVE):
            card_again(record)


def card_again(record: RunRecord) -> str | None:
    """The page, kept in the record as well; None when nothing at all is known of the run yet."""
    attempts = _or_none(record.attempts) or ()
    plan = plan_kept(record)
    result = _or_none(record.result)
    if result is None and not attempts and plan is None:
        return None
    header: Mapping[str, Any] = attempts[-1].header if attempts else {}
    live = result is None and bool(attempts) and goes_on(record, attempts)
    result = result or _as_far_as_known(record, plan, attempts, live=live)
    extra = card_extra(record.store, result, header, plan)
    if live:
        ended = {node.id for node in result.nodes}
        running = tuple((node, at) for attempt in attempts for node, at in attempt.started.items() if node not in ended)
        extra = replace(extra, live=True, running=running)
    html = render(card_document(plan, result, extra))
    with suppress(DbtFlowError):
        record.put_text("card.html", html)
    return html


def _as_far_as_known(record: RunRecord, plan: Plan | None, attempts: tuple[Attempt, ...], *, live: bool) -> RunResult:
    """What became of a run whose result is not there, or cannot be read: what its attempts noted."""
    first: Mapping[str, Any] = attempts[0].header if attempts else {}
    ref = record.ref
    blank = RunResult(
        dag=ref.dag,
        flow=str(first.get("flow") or flow_name(ref.dag)),
        run=str(first.get("run") or f"{flow_name(ref.dag)}/{ref.number}"),
        status=RUNNING if live else FAILED,
        reason="",
        target=ref.target,
        started=str(first.get("started") or utc_text()),
        owner=str(first.get("owner") or ""),
        trigger=str(first.get("trigger") or "by hand"),
        follows=first.get("follows"),
        attempt=attempts[-1].number if attempts else 0,
        parameters=first.get("parameters") or {},
        versions=first.get("versions") or {},
    )
    found = {result.id: result for attempt in attempts for result in attempt.results}
    if live:
        nodes = tuple(found[node.id] for node in plan.nodes if node.id in found) if plan else ()
        return replace(blank, nodes=nodes)
    running = {node: at for attempt in attempts for node, at in attempt.started.items()}
    ending = Ending(complaint="The result in its record cannot be read; this is what its attempts noted")
    return judge(blank, plan, complete(plan, found, running, ending) if plan else (), ending)


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (DbtFlowError, TypeError, KeyError, AttributeError, ValueError):
        return None
