"""``tell_others()``: a settled run is told to Datadog, PagerDuty and people. It never raises; it costs a second at the most.

What must not be lost (pages, messages) is put on the disk first; a detached sender takes it from there. Metrics are sent at
once by a thread that nobody waits for long. A run whose process died between its record and this is told by the next that looks
(:func:`tell_untold`): everything that is needed stands in the head of its attempt's log.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from dbt_flow.errors import DbtFlowError
from dbt_flow.plan.planned import Plan
from dbt_flow.records import RunResult, utc_moment, utc_text
from dbt_flow.redact import text as redacted
from dbt_flow.report import agentless, sender, statsd
from dbt_flow.report.alerts import news
from dbt_flow.report.channels import missing
from dbt_flow.report.deadlines import lateness, schedule_delay
from dbt_flow.report.lateness import done_late
from dbt_flow.report.metrics import Around, measure, of_steps, usage
from dbt_flow.report.news_kept import open_incidents, put_news, remembered_rules
from dbt_flow.report.outbox import Outbox
from dbt_flow.report.rules import Rules, metrics_on
from dbt_flow.state.history import history
from dbt_flow.state.runs import RunRecord, RunRef, find_runs
from dbt_flow.state.store import Store

TOLD = "told.json"
"""Of a run: when others were told. A run with rules and without it is still to be told."""

_METRICS_WITHIN = 0.8  # seconds for which a run waits for its metrics
_UNTOLD_FOR = timedelta(days=7)  # older ones are no news
_LOOK_BACK = 3
T = TypeVar("T")
_HISTORY = 30

Hear = Callable[[str], None]
"""Hears each metric, in words."""


def tell_others(
    record: RunRecord,
    plan: Plan | None,
    result: RunResult,
    facts: Mapping[str, Any],
    *,
    hear: Hear | None = None,
    own: bool = False,
) -> None:
    """Tell of a run that has just been settled, whoever settled it.

    :param facts: the head of its attempt's log; ``telling`` in it holds the rules
    :param hear: set for ``--print-metrics``
    :param own: this very process ran the step: what it has used is the step's
    """
    try:
        said = facts.get("telling") or remembered_rules(record.store, result.dag)
        if not said:
            return
        rules = Rules.from_dict(said)
        # What came before is told before: an old failure must not be opened after the good run that mended it.
        stuck = _earlier(record.store, record.ref, rules)
        warnings = [*_keep_news(record, rules, plan, result), *stuck]
        _measure(record, rules, plan, result, hear, own=own)
        if Outbox(record.store).count() or record.store.list(agentless.FOLDER):
            sender.start(record.store)
        if warnings:
            print(f"dbt-flow: warning: {redacted('; '.join(dict.fromkeys(warnings)))}", file=sys.stderr, flush=True)
    except Exception:  # telling never breaks doing; the traceback stands in the task's log
        print(f"dbt-flow: nobody could be told: {redacted(traceback.format_exc())}", file=sys.stderr)


def tell_untold(store: Store, ref: RunRef) -> bool:
    """Tell of a run that was settled and never told; says whether it was one."""
    record = RunRecord(store, ref)
    if record.get_text(TOLD) is not None:
        return False
    result = record.result()
    if result is None or not result.finished or utc_moment(utc_text()) - utc_moment(result.finished) > _UNTOLD_FOR:
        return False
    heads = [attempt.header.get("telling") for attempt in record.attempts()]
    said = next((head for head in reversed(heads) if head), None)
    if said is None:
        return False
    document = record.get("plan.json")
    plan = None if document is None else Plan.from_dict(document)
    _keep_news(record, Rules.from_dict(said), plan, result)
    return True


def tell_all_untold(store: Store) -> int:
    """Look at the last runs of every DAG; gives how many had not been told."""
    found = 0
    for target in store.list("runs"):
        for dag in store.list(f"runs/{target}"):
            found += sum(tell_untold(store, ref) for ref in reversed([*islice(find_runs(store, dag, target), _LOOK_BACK)]))
    return found


def _keep_news(record: RunRecord, rules: Rules, plan: Plan | None, result: RunResult) -> list[str]:
    """Put what is to be told where it cannot be lost; gives what somebody should know of it."""
    store = record.store
    there = open_incidents(store, result.target, result.dag)
    told = news(rules, plan, result, there)
    messages = (*told.messages, *done_late(rules, result, there))
    put_news(store, result.target, result.dag, messages, told.incidents)
    record.put(TOLD, {"at": utc_text(), "messages": len(messages)})
    routes = dict.fromkeys(message.route for message in messages)
    return [*told.silent, *(why for route in routes if (why := missing(route)))]


def _earlier(store: Store, ref: RunRef, rules: Rules) -> list[str]:
    """Runs before this one that nobody told of, and messages that have been waiting."""
    for before in reversed([*islice(find_runs(store, ref.dag, ref.target), _LOOK_BACK + 1)]):
        if before != ref:
            tell_untold(store, before)
    stuck = [message for message in Outbox(store).waiting() if message.tries]
    if not stuck or not rules.dag:
        return []
    said = f"{stuck[0].trouble} (see: dbt-flow alerts flush)"
    return [f"{len(stuck)} earlier {'message waits' if len(stuck) == 1 else 'messages wait'} to be sent: {said}"]


def _measure(record: RunRecord, rules: Rules, plan: Plan | None, result: RunResult, hear: Hear | None, *, own: bool) -> None:
    """Send metrics, if anybody is there to take them; in a thread, so that no resolver and no large run is waited for."""
    on = metrics_on(rules)
    if not on and hear is None:
        return
    if on and not rules.metrics.get("api"):
        _quietly(statsd.load)
    look: Callable[[], Around] = partial(_around, record, rules, result, usage() if own else {})
    if record.store is not record.store.local:
        # What a bucket has to say takes its time, and is no business of who takes the metrics.
        known = _quietly(look)
        if known is None:
            return
        look = partial(_same, known)
    work = partial(_quietly, partial(_measured, record.store, rules, plan, result, look))
    if hear is not None:
        for line in work() or ():
            hear(line)
        return
    thread = threading.Thread(target=work, name="dbt-flow-metrics", daemon=True)
    thread.start()
    thread.join(_METRICS_WITHIN)


def _around(record: RunRecord, rules: Rules, result: RunResult, used: Mapping[str, float]) -> Around:
    store = record.store
    whole, steps = of_steps(record.attempts())
    return Around(
        usage=whole or used,
        steps=steps,
        history=tuple(line for line in history(store, result.dag, result.target, _HISTORY) if line["run"] != result.run),
        lateness=lateness(rules, result),
        delay=schedule_delay(rules, result),
        waiting=len(store.list("outbox/waiting")),
        freshness=_freshness(record),
    )


def _same(around: Around) -> Around:
    return around


def _measured(store: Store, rules: Rules, plan: Plan | None, result: RunResult, look: Callable[[], Around]) -> list[str]:
    measured = measure(rules, plan, result, look())
    if metrics_on(rules):
        if rules.metrics.get("api"):
            agentless.leave(store, result, rules, measured)
        else:
            statsd.send(rules, measured)
    return measured.lines()


def _freshness(record: RunRecord) -> tuple[Mapping[str, Any], ...]:
    """What dbt said of sources in this run, if it was asked."""
    with suppress(DbtFlowError):
        found = record.get("sources.json")
        rows = found.get("results") if isinstance(found, Mapping) else None
        return tuple(row for row in rows or () if isinstance(row, Mapping))
    return ()


def _quietly(send: Callable[[], T]) -> T | None:
    """Metrics may be lost, and with them the reason."""
    try:
        return send()
    except Exception as error:
        print(f"dbt-flow: no metrics: {redacted(str(error))[:300]}", file=sys.stderr)
        return None
