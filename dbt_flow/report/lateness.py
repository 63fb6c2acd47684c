"""Telling that a DAG is late, or will be: while a run goes on, when it ends, and when none has begun. Each is told once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dbt_flow.plan.planned import Plan
from dbt_flow.records import SUCCESS, NodeResult, RunResult, flow_name, utc_moment, utc_text
from dbt_flow.report import sender
from dbt_flow.report.alerts import alarm
from dbt_flow.report.deadlines import Late, Progress, at_risk, deadlines, lateness
from dbt_flow.report.messages import LATE, Incident, Message
from dbt_flow.report.news_kept import open_incidents, put_news
from dbt_flow.report.rules import Rules
from dbt_flow.report.words import duration, moment
from dbt_flow.state.durations import usual_durations
from dbt_flow.state.runs import RunRecord
from dbt_flow.state.store import Store, encode

_AT_RISK = "at-risk"


class DeadlineWatch:
    """Watches the deadline of one run while it goes on. :meth:`look` is cheap, and never raises."""

    def __init__(self, store: Store, rules: Rules, started: str) -> None:
        began = moment(started)
        found = deadlines(rules, began) if began else None
        self.deadline = found[1] if found else None
        self.store, self.rules = store, rules
        self.said: set[str] = set()

    def look(
        self, record: RunRecord, plan: Plan | None, blank: RunResult, known: Iterable[NodeResult], running: Mapping[str, str]
    ) -> str | None:
        """What has just become true, in a sentence; told to the owner, and given back once."""
        if self.deadline is None or plan is None or {LATE} <= self.said:
            return None
        try:
            return self._look(record, plan, blank, known, running)
        except Exception as error:  # telling never breaks doing
            print(f"dbt-flow: the deadline could not be watched: {error!r}", file=sys.stderr)
            return None

    def _look(
        self, record: RunRecord, plan: Plan, blank: RunResult, known: Iterable[NodeResult], running: Mapping[str, str]
    ) -> str | None:
        now = utc_moment(utc_text())
        assert self.deadline is not None  # noqa: S101 - look() has looked
        if now > self.deadline:
            headline = f"it is late: due by {self.deadline:%H:%M}, and still running"
            return self._tell(record, blank, LATE, headline)
        if _AT_RISK in self.said:
            return None
        began = {node: at for node, said in running.items() if (at := moment(said)) is not None}
        progress = Progress(began, frozenset(node.id for node in known))
        risk = at_risk(plan, usual_durations(self.store, plan.target), progress, self.deadline, now)
        return self._tell(record, blank, _AT_RISK, risk.headline.partition(": ")[2] or risk.headline) if risk else None

    def _tell(self, record: RunRecord, blank: RunResult, kind: str, headline: str) -> str | None:
        self.said.add(kind)
        # Attempts of one run, and a process that was killed and came back, tell it once.
        if not self.store.put_if_absent(f"{record.ref.folder}/told-{kind}.json", encode({"at": utc_text(), "said": headline})):
            return None
        tell_alarm(self.store, self.rules, blank, headline, page=kind == LATE)
        return f"{self.rules.dag}: {headline}"


def tell_late(store: Store, rules: Rules, target: str, late: Late) -> bool:
    """Tell that a DAG is late of which no run need have begun (:func:`~dbt_flow.report.deadlines.overdue`); once a deadline.

    Says whether it was news.
    """
    mark = f"late/{target}/{rules.dag}/{late.deadline:%Y-%m-%d}.json"
    if not store.put_if_absent(mark, encode({"at": utc_text(), "said": late.headline})):
        return False
    nobody = RunResult(rules.dag, flow_name(rules.dag), "", "late", late.headline, target, utc_text(), owner=rules.owner)
    tell_alarm(store, rules, nobody, late.headline.partition(": ")[2] or late.headline, page=True)
    return True


def tell_alarm(store: Store, rules: Rules, blank: RunResult, headline: str, *, page: bool) -> None:
    """Put it into the outbox and start a sender; with ``page`` it stays open until the DAG is good."""
    there = open_incidents(store, blank.target, blank.dag)
    told = alarm(rules if page else replace(rules, page="off"), blank, LATE, headline, there)
    put_news(store, blank.target, blank.dag, told.messages, told.incidents if page else ())
    if told.messages:
        sender.start(store)


def done_late(rules: Rules, result: RunResult, there: Iterable[Incident]) -> tuple[Message, ...]:
    """The message that a good run ended after its deadline; nothing when that was told while it ran."""
    by = lateness(rules, result)
    if result.status != SUCCESS or by is None or by <= 0 or any(LATE in incident.nodes for incident in there):
        return ()
    headline = f"it is done, {duration(by)} after {rules.done_by}"
    return alarm(replace(rules, page="off"), result, LATE, headline, ()).messages
