"""What became of a run: results of every planned node, the never-green rule, the record, the card. Loads without dbt.

A run is settled once: by its own task, else by its launcher, else by whoever looks next.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dbt_flow import redact
from dbt_flow.errors import DbtFlowError, RunCancelled, RunFailed, flatten
from dbt_flow.metaflow_seam import CardStore
from dbt_flow.pipeline.backdrop import backdrop
from dbt_flow.pipeline.receipt import keep_receipt
from dbt_flow.plan.change_causes import blockers
from dbt_flow.plan.planned import Plan
from dbt_flow.records import (
    CANCELLED,
    FAILED,
    LOST,
    REUSED,
    RUN_CANCELLED,
    SKIPPED,
    SUCCESS,
    NodeResult,
    RunResult,
    only_good,
    utc_moment,
    utc_text,
)
from dbt_flow.report.artifacts import merged_run_results
from dbt_flow.report.card import card_document, render
from dbt_flow.report.causes import root_causes
from dbt_flow.report.extra import CardExtra
from dbt_flow.report.failures import reproducing
from dbt_flow.report.headline import sentence
from dbt_flow.report.telling import tell_others
from dbt_flow.state.begun import header_of
from dbt_flow.state.history import history
from dbt_flow.state.runs import NO_TARGET, Attempt, RunRecord, RunRef, find_run, goes_on
from dbt_flow.state.store import Store

STOPS = ("run-cancelled", "timeout", "launcher-gone")
"""Codes of what stops a run from outside."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, apart from its nodes: nothing of this for one that went through."""

    error: DbtFlowError | None = None
    """A refusal, or what stopped it."""
    complaint: str = ""
    """What dbt itself said, when no node accounts for it (a hook that failed)."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody stopped it, as opposed to a timeout or a death."""
        return self.error is not None and self.error.code == "run-cancelled"

    @property
    def stopped(self) -> bool:
        """Whether it was stopped from outside, by whatever it was."""
        return self.error is not None and self.error.code in STOPS

    @property
    def final(self) -> bool:
        """Whether no further attempt will follow, whatever the DAG's ``retries`` say."""
        return self.error is not None and self.error.code in ("run-cancelled", "launcher-gone")


def complete(
    plan: Plan, results: Mapping[str, NodeResult], running: Mapping[str, str], ending: Ending
) -> tuple[NodeResult, ...]:
    """One result for each planned node: what was never heard of is cancelled when the run was stopped, else lost.

    Skipped nodes name their causes.
    """
    missing = CANCELLED if ending.stopped else LOST
    found = {}
    for node in plan.nodes:
        result = results.get(node.id)
        if result is None:
            was = "it was being built" if node.id in running else "it had not started"
            why = ending.error.message if ending.error else "the run ended without a word of it"
            result = NodeResult(node.id, missing, started=running.get(node.id), reason=f"{was} when the run ended: {why}")
        found[node.id] = result
    causes = blockers(plan, {node: result.status for node, result in found.items()})
    return tuple(
        replace(result, blocked_by=causes[node], reason=result.reason or _blocked(plan, causes[node]))
        if result.status == SKIPPED and causes.get(node)
        else result
        for node, result in found.items()
    )


def _blocked(plan: Plan, causes: tuple[str, ...]) -> str:
    names = [plan.by_id[cause].name if cause in plan.by_id else cause for cause in causes[:3]]
    more = f" and {len(causes) - 3} more" if len(causes) > 3 else ""
    return f"blocked by {', '.join(names)}{more}"


def judge(blank: RunResult, plan: Plan | None, nodes: tuple[NodeResult, ...], ending: Ending) -> RunResult:
    """The run's result from its planned nodes: never green unless each is good and nothing else went wrong."""
    good = plan is not None and len(nodes) == len(plan.nodes) and only_good(nodes)
    if good and ending.error is None and not ending.complaint:
        status = SUCCESS
    else:
        status = RUN_CANCELLED if ending.cancelled else FAILED
    finished = utc_text()
    seconds = (utc_moment(finished) - utc_moment(blank.started)).total_seconds()
    error = None if ending.error is None else flatten(ending.error)[0].to_dict()
    if error is None and ending.complaint:
        error = {"code": "run-failed", "message": ending.complaint, "hint": None, "file": None, "line": None, "column": None}
    result = replace(blank, status=status, nodes=nodes, finished=finished, seconds=round(seconds, 3), error=error)
    reason = sentence(plan, result, root_causes(plan, result))
    return replace(result, reason=redact.text(reason), error=redact.document(error))


def commands(run: str, dag: str) -> dict[str, str]:
    """What to type next, as the card and the terminal say it."""
    return {"retry": f"dbt-flow retry {run}", "card": f"dbt-flow card {run}", "rerun": f"dbt-flow run {dag}"}


@dataclass(frozen=True)
class Sink:
    """Where a run's card goes: the run's record, and Metaflow's card store for its task."""

    record: RunRecord
    task: str | None = None
    cards: CardStore | None = None

    def put(self, html: str) -> None:
        """Write the card; a card that cannot be written is a line on stderr, never the run's loss."""
        for write in (lambda: self.record.put_text("card.html", html), self._to_metaflow(html)):
            try:
                write()
            except Exception as error:  # the card is telling: it never breaks doing
                print(f"dbt-flow: the card could not be stored: {error}", file=sys.stderr)

    def _to_metaflow(self, html: str) -> Any:
        if self.cards is None or self.task is None:
            return lambda: None
        cards, task = self.cards, self.task
        return lambda: cards.save(task, html)


def tell(sink: Sink, plan: Plan | None, result: RunResult, extra: CardExtra) -> dict[str, Any]:
    """Make the card of a settled run and store it; gives the card's document."""
    try:
        document = card_document(plan, result, extra)
        html = render(document)
    except Exception as error:  # a bug in the card must not cost the run
        print(f"dbt-flow: the card could not be made: {error!r}", file=sys.stderr)
        return {}
    sink.put(html)
    return document


def plan_kept(record: RunRecord) -> Plan | None:
    """The plan in a run's record; None where there is none, or it cannot be read: telling goes on without."""
    try:
        document = record.get("plan.json")
        return None if document is None else Plan.from_dict(document)
    except (DbtFlowError, TypeError, AttributeError, KeyError, ValueError):
        return None


def card_extra(store: Store, result: RunResult, facts: Mapping[str, Any], plan: Plan | None = None) -> CardExtra:
    """What the card shows beside the run, from history and from what the attempt noted."""
    lines = [line for line in history(store, result.dag, result.target, 30) if line["run"] != result.run]
    before = tuple(reversed(lines))
    plan = plan or plan_kept(RunRecord(store, RunRef(result.target, result.dag, result.run.rpartition("/")[2])))
    return CardExtra(
        **backdrop(store, result, plan, facts, before),
        history=before,
        updated=utc_text(),
        commands={**commands(result.run, result.dag), "reproduce": _reproduce(plan, result, facts)},
        owner_contact=facts.get("owner_contact") or None,
        description=str(facts.get("description") or ""),
    )


def _reproduce(plan: Plan | None, result: RunResult, facts: Mapping[str, Any]) -> str:
    return reproducing(plan, result, str(facts.get("project") or ""), str(facts.get("profiles") or ""))


def keep_run_results(record: RunRecord, now: Mapping[str, Any] | None, result: RunResult) -> None:
    """dbt's own ``run_results.json`` in the run's record, merged over the attempts; ``now`` is what dbt wrote in this one."""
    if result.nodes:
        before = record.get("run_results.json")
        record.put("run_results.json", merged_run_results(before, now, result, result.versions.get("dbt", "")))


# ---- runs that died

_SILENT = Ending(complaint="the process that ran it died without a word (killed, or out of memory)")
_TOO_EARLY = Ending(complaint="its process died before dbt had said what there is to build")


def settle_dead(
    store: Store, dag: str, number: str, flow: str | None = None, *, task: str | None = None, stopped: str | None = None
) -> RunResult | None:
    """Settle a run that nobody settled, if its task is dead; gives its result, None while it still runs.

    Called by the launcher when Metaflow has ended, by ``dbt-flow run`` when the launcher has, and by whoever reads the run.

    :param flow: its Metaflow flow; given by who knows that there was a run, even if it died before it wrote anything.
    :param task: Metaflow's pathspec of its task, for the card of such a run.
    :param stopped: who or what stopped it, in words, when somebody did.
    """
    return _settled(store, RunRef(NO_TARGET, dag, number), {"flow": flow, "task": task}, stopped, over=False)


def settle_over(store: Store, ref: RunRef, header: Mapping[str, Any], stopped: str | None) -> RunResult | None:
    """:func:`settle_dead` for who knows that every task of the run has ended, on other machines too.

    :param header: its ``flow`` and ``task``.
    """
    return _settled(store, ref, header, stopped, over=True)


def _settled(store: Store, run: RunRef, known: Mapping[str, Any], stopped: str | None, *, over: bool) -> RunResult | None:
    dag, number, flow = run.dag, run.number, known["flow"]
    ref = find_run(store, dag, number)
    if ref is None and flow is None:
        return None
    death = Ending(RunCancelled("run-cancelled", stopped)) if stopped else None
    if ref is None:
        header = {**known, "run": f"{flow}/{number}"}
        return _never_planned(RunRecord(store, RunRef(NO_TARGET, dag, number)), header, death or _TOO_EARLY)
    record = RunRecord(store, ref)
    settled = record.result()
    if settled is not None:
        return settled
    attempts = record.attempts()
    if not attempts or (not over and goes_on(record, attempts)):
        return None
    document = record.get("plan.json")
    plan = None if document is None else Plan.from_dict(document)
    last = attempts[-1]
    ending = _death(attempts, death)
    carried = map(NodeResult.from_dict, (record.get("opened.json") or {}).get("carried", ()))
    results = {result.id: result for result in (*carried, *(r for attempt in attempts for r in attempt.results))}
    running = {node: at for attempt in attempts if attempt.step or attempt is last for node, at in attempt.running.items()}
    nodes = complete(plan, results, running, ending) if plan else ()
    blank = _blank(ref, attempts[0].header, last.number)
    result = judge(blank, plan, nodes, ending)
    if record.settle(result):
        keep_run_results(record, None, result)
        keep_receipt(record)
        tell(_dead_sink(record, last.header), plan, result, card_extra(store, result, last.header))
        tell_others(record, plan, result, last.header)
    return record.result()


def _death(attempts: Sequence[Attempt], death: Ending | None) -> Ending:
    """How a run ended that did not settle itself; of several steps one has told it, or has died."""
    refused = attempts[-1].header.get("refused")
    if refused:
        return Ending(complaint=str(refused))
    steps = {attempt.step: attempt for attempt in attempts}
    if death or "" in steps:
        return death or _SILENT
    silent = [name for name, attempt in steps.items() if attempt.left is None]
    if silent:
        return Ending(complaint=f"the process of step {', '.join(silent)} died without a word (killed, or out of memory)")
    left = [attempt.left for attempt in steps.values() if attempt.left]
    errors = {item["error"]["code"]: item["error"]["message"] for item in left if item["error"]}
    stops = [code for code in ("timeout", *STOPS) if code in errors]
    if stops:
        return Ending((RunCancelled if stops[0] == "run-cancelled" else RunFailed)(stops[0], errors[stops[0]]))
    said = [*errors.values(), *(item["complaint"] for item in left if item["complaint"])]
    return Ending(complaint="; ".join(said) or "it ended before its last step; Metaflow's log says why")


def _blank(ref: RunRef, header: Mapping[str, Any], attempt: int) -> RunResult:
    return RunResult(
        dag=ref.dag,
        flow=str(header.get("flow") or ref.dag),
        run=str(header.get("run") or f"{ref.dag}/{ref.number}"),
        status=FAILED,
        reason="",
        target=ref.target,
        started=str(header.get("started") or utc_text()),
        owner=str(header.get("owner") or ""),
        trigger=str(header.get("trigger") or "by hand"),
        follows=header.get("follows"),
        attempt=attempt,
        parameters=header.get("parameters") or {},
        versions=header.get("versions") or {},
    )


def settle_clone(store: Store, dag: str, run: str, origin: str, task: str) -> RunResult | None:
    """Settle a run that Metaflow's ``resume`` made of a good one: nothing was left to do, all of it is reused.

    :param run: Metaflow's pathspec of the new run; ``origin`` of the one whose task was cloned.
    """
    ref = find_run(store, dag, origin.rpartition("/")[2])
    before = RunRecord(store, ref).result() if ref else None
    if ref is None or before is None:
        return None
    record = RunRecord(store, replace(ref, number=run.rpartition("/")[2]))
    plan = Plan.from_dict(RunRecord(store, ref).get("plan.json") or {})
    record.put("plan.json", plan.to_dict())
    again = [
        replace(node, status=REUSED, reason=f"{node.status} in {origin}", seconds=0.0, started=None, finished=None)
        for node in before.nodes
    ]
    blank = replace(before, run=run, reason="", started=utc_text(), follows=origin, attempt=0)
    result = judge(blank, plan, tuple(again), Ending())
    if record.settle(result):
        keep_receipt(record)
        tell(_dead_sink(record, {"task": task}), plan, result, card_extra(store, result, {}))
    return record.result()


def settle_refused(store: Store, task: Mapping[str, Any], error: DbtFlowError) -> RunResult | None:
    """Settle a run whose task could not even begin.

    :param task: its ``dag``, ``flow``, ``run`` (Metaflow's id) and ``task`` (the pathspec).
    """
    ref = find_run(store, task["dag"], task["run"]) or RunRef(NO_TARGET, task["dag"], task["run"])
    return _never_planned(RunRecord(store, ref), {**task, "run": f"{task['flow']}/{task['run']}"}, Ending(error))


def _never_planned(record: RunRecord, header: Mapping[str, Any], ending: Ending) -> RunResult | None:
    known = header_of(record.store, record.ref.dag, record.ref.number)
    header = {**known, **{key: value for key, value in header.items() if value}}
    result = judge(_blank(record.ref, header, 0), None, (), ending)
    if record.settle(result):
        tell(_dead_sink(record, header), None, result, card_extra(record.store, result, header))
        tell_others(record, None, result, header)
    return record.result()


def _dead_sink(record: RunRecord, header: Mapping[str, Any]) -> Sink:
    """Where the card of a run that died goes: to the store that its task used, else to this process's own."""
    task, facts = header.get("task"), header.get("cards") or {}
    try:
        cards = CardStore(facts.get("kind"), facts.get("root")) if task else None
    except Exception as error:
        print(f"dbt-flow: Metaflow's card store could not be opened: {error}", file=sys.stderr)
        cards = None
    return Sink(record, task, cards)
