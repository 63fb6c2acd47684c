"""Whether a run that Argo has started builds: its first step decides, as ``serve`` does, from what is remembered in the state.

Argo Events starts a workflow of such a DAG (:func:`~dbt_flow.spec.schedulers.by_first_step`) for each event that it waits for,
and a CronWorkflow starts one when the clock is to be looked at. The run takes a turn (:mod:`dbt_flow.plan.turns`) and builds
when that is what comes out; else it ends here, cancelled, with the reason. The events are those that Argo hands over, and the
good ends of other DAGs that were recorded since this one listens: an event that never arrived is made up for by the next.

Nothing of dbt is loaded here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from typing import Any

from dbt_flow import redact
from dbt_flow.errors import DbtFlowError, RunCancelled
from dbt_flow.metaflow_seam import CardStore
from dbt_flow.pipeline.attempt import Task
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.settle import Ending, Sink, card_extra, judge, tell
from dbt_flow.plan.arrivals import Listener, waiting_for
from dbt_flow.plan.awaited import events_of, rule_of
from dbt_flow.plan.turns import Done, Heard, Ledger, listen, take_turn
from dbt_flow.records import FAILED, RECORD_VERSION, SUCCESS, RunResult, flow_name, utc_moment, utc_text
from dbt_flow.report.lateness import tell_alarm
from dbt_flow.report.rules import Rules
from dbt_flow.report.words import duration
from dbt_flow.spec import Dag
from dbt_flow.spec.schedulers import by_first_step
from dbt_flow.state.history import history
from dbt_flow.state.runs import NO_TARGET, RunRecord, RunRef
from dbt_flow.state.store import Store
from dbt_flow.state.turns_taken import Turns

CLOCK = "dbt_flow.clock"
"""The name of the event that a CronWorkflow of ours hands over: nothing has happened, only time has passed."""
_PAYLOAD = "METAFLOW_ARGO_EVENT_PAYLOAD_"
_LOOKED_BACK = 40  # ends of a DAG: far fewer than are known again, so that none is heard twice
_LINES = 500


@dataclass(frozen=True)
class Verdict:
    """What the first step has decided."""

    builds: bool
    said: str
    """What started it, or why it does not build."""
    missing: tuple[str, ...] = ()
    """What it starts without."""
    quiet: bool = False
    """The clock was looked at, and there was nothing to do: not worth a record."""


@dataclass(frozen=True)
class Deployed:
    """Where a DAG is deployed, as the variables of its pods say."""

    template: str
    namespace: str
    project: str
    branch: str

    @property
    def key(self) -> str:
        """Of its turns."""
        return f"{self.namespace}/{self.template}"

    def of(self, flow: str, mine: str) -> str | None:
        """The template of another flow that is deployed beside ``mine``; None where Metaflow has cut the names short."""
        suffix = mine.lower()
        return self.template[: -len(suffix)] + flow.lower() if self.template.endswith(f".{suffix}") else None


def begin_to_listen(store: Store, dag: Dag, place: Deployed, now: float) -> None:
    """Note that a DAG listens from now on, when it is deployed; one that listens already goes on.

    :raises StateError: the state cannot be read or written.
    """
    turns = Turns(store, place.key)
    if turns.last()[0] == 0:
        ledger = listen(rule_of(dag, events_of(dag, place.project, place.branch)), now)
        turns.add(1, _document(ledger, "", (), ()))


def stop_listening(store: Store, namespace: str, template: str) -> None:
    """Forget what a DAG has heard, when it is no longer deployed: it is no part of what a later one waits for."""
    Turns(store, f"{namespace}/{template}").forget()


def decide_start(job: Job, task: Task, place: Deployed, environ: Mapping[str, str]) -> Verdict | None:
    """Take a turn. None for a run that builds whatever has come: started by hand, or of a DAG that its scheduler understands.

    :raises StateError: the state cannot be read or written; nothing is decided then.
    """
    if not by_first_step(job.dag):
        return None
    payloads = list(_payloads(environ))
    if not payloads:
        return None
    return _Turn(job, task, place).take(payloads)


def leave_out(job: Job, task: Task, verdict: Verdict) -> None:
    """Record a run that does not build: cancelled, with the reason and a card. Nobody is told."""
    if verdict.quiet:
        return
    record = RunRecord(job.store, RunRef(NO_TARGET, job.dag.name, task.run))
    now, rules = utc_text(), Rules.from_dict(job.telling)
    blank = RunResult(
        dag=job.dag.name,
        flow=task.flow,
        run=f"{task.flow}/{task.run}",
        status=FAILED,
        reason="",
        target=NO_TARGET,
        started=now,
        owner=rules.owner or job.dag.owner,
        trigger=task.trigger,
    )
    error = RunCancelled("run-cancelled", verdict.said, place=job.dag.place("trigger"))
    result = judge(blank, None, (), Ending(error))
    if record.settle(result):
        extra = card_extra(job.store, result, {"owner_contact": dict(job.owner_contact), "description": job.dag.description})
        tell(Sink(record, task.pathspec, CardStore()), None, result, extra)


@dataclass
class _Turn:
    """One run's turn."""

    job: Job
    task: Task
    place: Deployed
    refused: list[str] = field(default_factory=list)
    """Events that are none, with the reason."""

    def __post_init__(self) -> None:
        self.labels = events_of(self.job.dag, self.place.project, self.place.branch)
        self.rule: Listener = rule_of(self.job.dag, self.labels)
        self.run = f"{self.task.flow}/{self.task.run}"
        self.ends = {} if self.rule.any else {name: list(self._recorded(name)) for name in self.labels}

    def take(self, payloads: Iterable[Mapping[str, Any]]) -> Verdict:
        own = [one for payload in payloads if (one := self._heard(payload, _now())) is not None]
        turns = Turns(self.job.store, self.place.key)
        while True:
            number, document = turns.last()
            before = Ledger.from_dict(document["ledger"]) if document else Ledger()
            if self.run in before.starts:  # a further attempt
                return self._starts(before.starts[self.run], before)
            now = _now()
            ledger, decided, new = take_turn(self.rule, before, [*own, *self._since(before.began)], self.run, now)
            nothing = not new and not decided and ledger.standing == before.standing
            if nothing or turns.add(number + 1, _document(ledger, self.run, new, decided)):
                break
        for done in decided:
            if done.kind == "hold":
                missing = self._named(done.missing, before)
                self._tell_owner(f"{self.job.dag.name} is held{_when(done)}: it waits for {missing}")
        if self.run in ledger.starts:
            return self._starts(ledger.starts[self.run], ledger)
        return self._waits(own, decided, before, ledger)

    # ---- what was heard

    def _heard(self, payload: Mapping[str, Any], now: float) -> Heard | None:
        """An event that Argo hands over; None for one that is not waited for, and for the clock."""
        name = str(payload.get("name"))
        if name not in self.labels:
            return None
        key = str(payload.get("id") or f"of {self.run}")
        at = now
        with suppress(TypeError, ValueError):
            at = float(payload.get("timestamp") or now)
        if not name.startswith("metaflow."):
            return Heard(name, key, at, redact.document(dict(payload)))
        run = "/".join(key.split("/")[:2])
        recorded = {end.id: end for end in self.ends.get(name, ())}
        if run in recorded:
            at = recorded[run].at
            if recorded[run].payload["status"] != SUCCESS:
                self.refused.append(f"{run} is recorded as {recorded[run].payload['status']}")
                return None
        return Heard(name, run, at, redact.document(dict(payload)))

    def _recorded(self, event: str) -> Iterator[Heard]:
        """The recorded ends, good or not, of a DAG that is deployed beside this one; none of an ML flow."""
        name = self.labels[event]
        flow = flow_name(name) if name[0].islower() else None
        template = self.place.of(flow, self.job.dag.flow_name) if flow and self.job.dag.trigger.after else None
        if template is None:
            return
        lines = history(self.job.store, name, limit=_LINES)
        beside = (line for line in lines if str(line["run"]).startswith(f"{flow}/argo-{template}-"))
        for line in islice(beside, _LOOKED_BACK):
            with suppress(TypeError, ValueError):
                at = utc_moment(str(line["started"])).timestamp() + float(line["seconds"] or 0)
                yield Heard(event, str(line["run"]), at, {"status": line.get("status")})

    def _since(self, began: float | None) -> Iterator[Heard]:
        """The good ones since this DAG listens."""
        for ends in self.ends.values() if began is not None else ():
            yield from (end for end in ends if end.payload["status"] == SUCCESS and began is not None and end.at >= began)

    # ---- in words

    def _starts(self, done: Done, ledger: Ledger) -> Verdict:
        events = {one.name: one for one in done.events}
        told = [(label, events[name]) for name, label in self.labels.items() if name in events]  # in the DAG file's order
        parts = [f"after {one.id}" if self.job.dag.trigger.after else f"event {label}" for label, one in told]
        missing = tuple(self._age(name, ledger) for name in done.missing)
        words = " and ".join(parts)
        if missing:
            words = f"{words + ', ' if words else ''}{done.why} without {'; '.join(missing)}"
        return Verdict(True, words, missing)

    def _waits(self, own: list[Heard], decided: tuple[Done, ...], before: Ledger, ledger: Ledger) -> Verdict:
        last = next((done for done in reversed(decided) if done.kind in ("hold", "skip")), None)
        kept = {(one.name, one.id) for one in ledger.waiting.values()}
        if last is not None and (last.kind == "hold" or not any((one.name, one.id) in kept for one in own)):
            verb, then = ("held", "waiting for") if last.kind == "hold" else ("skipped", "without")
            return Verdict(False, f"{verb}{_when(last)}: {then} {self._named(last.missing, before)}")
        if self.refused:
            return Verdict(False, "; ".join(self.refused))
        if not own:
            return Verdict(False, "the clock was looked at, and nothing is due", quiet=True)
        known = [(one, before.by_whom(one)) for one in own]
        if all(by for _, by in known):
            told = ", ".join(f"{one.id} was heard before, by {by}" for one, by in known)
            return Verdict(False, told)
        return Verdict(False, f"waiting for {self._named(waiting_for(self.rule, ledger.standing), ledger)}")

    def _named(self, names: Iterable[str], ledger: Ledger) -> str:
        return "; ".join(self._age(name, ledger) for name in names) or "nothing"

    def _age(self, name: str, ledger: Ledger) -> str:
        at, label = ledger.last(name), self.labels.get(name, name)
        return (
            f"{label} (nothing has come of it yet)" if at is None else f"{label} (the last one is {duration(_now() - at)} old)"
        )

    def _tell_owner(self, text: str) -> None:
        dag, rules = self.job.dag, Rules.from_dict(self.job.telling)
        nobody = RunResult(
            dag.name, self.task.flow, "", FAILED, text, self.job.target or NO_TARGET, utc_text(), owner=rules.owner
        )
        try:
            tell_alarm(self.job.store, rules, nobody, text, page=False)
        except (DbtFlowError, OSError, ValueError) as error:  # telling never breaks doing
            print(f"dbt-flow: {rules.owner} could not be told: {error}")


def _when(done: Done) -> str:
    return f" {done.why}" if done.why.startswith("at ") else f", {done.why}"


def _payloads(environ: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """What Argo hands over, of the events that have come; of those that have not it says ``null``."""
    for name, value in sorted(environ.items()):
        if name.startswith(_PAYLOAD) and value != "null":
            with suppress(ValueError):
                found = json.loads(value)
                if isinstance(found, dict):
                    yield found


def _document(ledger: Ledger, run: str, new: Iterable[Heard], decided: Iterable[Done]) -> dict[str, Any]:
    """A turn as it is kept: who took it, what it heard, what was decided, and what is known since."""
    return {
        "version": RECORD_VERSION,
        "at": utc_text(),
        "run": run,
        "heard": [one.to_dict() for one in new],
        "decided": [done.to_dict() for done in decided],
        "ledger": ledger.to_dict(),
    }


def _now() -> float:
    return datetime.now(timezone.utc).timestamp()
