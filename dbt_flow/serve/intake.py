"""An event becomes deliveries: what the pure core decides, written down in the transaction in which the event is taken.

The decisions are :mod:`dbt_flow.plan.arrivals`. So a crash falls before all of it or after all of it, and an event is given to
each subscriber once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dbt_flow.errors import DbtFlowError, InputError, flatten
from dbt_flow.plan.arrivals import Action, Arrival, arrive, next_moment, pass_time
from dbt_flow.records import utc_text
from dbt_flow.serve.event import Event
from dbt_flow.serve.eventlog import OPEN, EventLog
from dbt_flow.serve.listeners import Listening, Subscriber, Wait
from dbt_flow.serve.needs_met import NeedsMet

LOOK_EVERY = 30.0
"""Seconds between two looks at what held flows need."""
_NUMBERS: Mapping[str, Callable[[Any], Any]] = {"int": int, "float": float}


def nobody(subscriber: str) -> bool:  # noqa: ARG001 - the shape of `busy`
    """Stands in where runs that others start are not looked at."""
    return False


@dataclass
class Intake:
    """Gives events to those who wait for them. Every method is to be called inside a transaction of ``log``."""

    log: EventLog
    listening: Listening
    busy: Callable[[str], bool] = nobody
    """Whether a run of that subscriber goes on that the runtime did not start."""
    needs: NeedsMet | None = None
    """Judges whether flows with ``@needs`` have what they need; None where they wait as others do."""
    _looked: float = 0.0
    _moments: dict[str, float | None] = field(default_factory=dict)
    """For each listener that looks at the clock: when it has something to do next."""

    def listen(self, listening: Listening, now: float) -> None:
        """Those who listen have changed. What no longer exists, or is no longer waited for, is forgotten."""
        self.listening = listening
        self._moments = {}
        for name, standing in self.log.standings().items():
            subscriber = listening.by_name.get(name)
            kept = {key: value for key, value in standing.arrived.items() if subscriber and subscriber.wait(key)}
            if len(kept) != len(standing.arrived):
                self.log.put_standing(name, type(standing)(kept, standing.fired, standing.round, standing.held))
        for subscriber in listening.subscribers:
            if subscriber.rule.at_latest or subscriber.rule.within:
                self._moments[subscriber.name] = now

    def take(self, event: Event, now: float) -> dict[str, str]:
        """Give an event to all who wait for it; what became of it for each."""
        told = {}
        for subscriber in self.listening.by_event.get(event.name, ()):
            told[subscriber.name] = self._give(subscriber, event, now)
        self.log.db.execute("UPDATE events SET taken = 1 WHERE seq = ?", (event.seq,))
        return told

    def give(self, event: Event, to: str, now: float) -> str:
        """Give an event to one subscriber alone, whatever it waits for."""
        subscriber = self.listening.by_name[to]
        self.log.db.execute("UPDATE events SET taken = 1 WHERE seq = ?", (event.seq,))
        return self._start(subscriber, Action("start", {event.name: Arrival(event.seq, event.at)}), now)

    def tick(self, now: float) -> None:
        """Let the clock run for those who look at it."""
        if self.needs is not None and abs(now - self._looked) >= LOOK_EVERY:
            self._looked = now
            for subscriber in self.listening.subscribers:
                self._look_again(self.needs, subscriber, now)
        for name, moment in self._moments.items():
            if moment is not None and moment <= now:
                subscriber = self.listening.by_name[name]
                before = self.log.standing(name)
                standing, actions = pass_time(subscriber.rule, before, now)
                if standing != before:
                    self.log.put_standing(name, standing)
                for action in actions:
                    self._do(subscriber, action, now)
                self._moments[name] = next_moment(subscriber.rule, standing, now)

    def due(self, subscriber: Subscriber, start: datetime, now: float, why: str) -> bool:
        """A schedule's start is due; False when it was taken before."""
        name = f"dbt_flow.schedule.{subscriber.name}"
        at = start.timestamp()
        payload = {"name": name, "id": utc_text(start), "timestamp": int(at)}
        seq = self.log.add_event(Event(name, utc_text(start), payload, at, "schedule"))
        if seq is None:
            return False
        self.log.db.execute("UPDATE events SET taken = 1 WHERE seq = ?", (seq,))
        self._start(subscriber, Action("start", {name: Arrival(seq, at)}, why=why), now)
        return True

    def too_late(self, subscriber: Subscriber, now: float, why: str) -> None:
        """Starts of a schedule that nobody makes up any more: a delivery that was skipped, and the owner is told."""
        number = self.log.add_delivery(subscriber.name, "skipped", {"created": now, "why": "schedule", "note": why})
        self.log.notice(now, subscriber.name, "missed", f"{subscriber.name} was not started: {why} (delivery {number})")

    # ---- inside

    def _look_again(self, needs: NeedsMet, subscriber: Subscriber, now: float) -> None:
        """Of a flow with ``@needs`` that is held, or waits: what it reads grows old, or is mended by other means than a run."""
        found = needs.look_again(subscriber, now)
        if found is not None:
            decided, standing = found
            arrived = self.log.standing(subscriber.name).arrived
            self.log.put_standing(subscriber.name, standing)
            if decided.kind == "start":
                self._start(subscriber, Action("start", arrived), now)

    def _judge(self, needs: NeedsMet, subscriber: Subscriber, event: Event, now: float) -> str:
        """Of a flow with ``@needs``: the records say whether it starts."""
        if not event.name.endswith(".settled"):
            return "waits until it is settled"
        before = self.log.standing(subscriber.name)
        decided, standing = needs.hear(subscriber, event, now)
        self.log.put_standing(subscriber.name, standing)
        if decided.kind == "start":
            wait = subscriber.wait(event.name)
            arrived = {**before.arrived, (wait.event if wait else event.name): Arrival(event.seq, event.at)}
            return self._start(subscriber, Action("start", arrived), now)
        told = {"hold": "held", "wait": "waits", "ignore": "not for it"}[decided.kind]
        self.log.consume(event.seq, subscriber.name, f"{told}: {'; '.join(decided.reasons)}"[:500])
        return told

    def _give(self, subscriber: Subscriber, event: Event, now: float) -> str:
        if subscriber.needs is not None and self.needs is not None:
            return self._judge(self.needs, subscriber, event, now)
        if event.name.endswith(".settled"):
            return "waits"
        wait = subscriber.wait(event.name)
        lacking = [name for name in (wait.required if wait else ()) if name not in event.payload]
        if lacking:
            outcome = f"not for it: the payload lacks {', '.join(lacking)}"
            self.log.consume(event.seq, subscriber.name, outcome)
            return outcome
        before = self.log.standing(subscriber.name)
        standing, actions = arrive(subscriber.rule, before, event.name, Arrival(event.seq, event.at))
        self.log.put_standing(subscriber.name, standing)
        self.log.consume(event.seq, subscriber.name, "waits")
        told = "waits"
        for action in actions:
            told = self._do(subscriber, action, now) if action.kind == "start" else told
            if action.kind != "start":
                self._do(subscriber, action, now)
        if subscriber.name in self._moments:
            self._moments[subscriber.name] = next_moment(subscriber.rule, standing, now)
        return told

    def _do(self, subscriber: Subscriber, action: Action, now: float) -> str:
        if action.kind == "start":
            return self._start(subscriber, action, now)
        if action.kind == "hold":
            missing = "; ".join(self._age(subscriber, name, now) for name in action.missing)
            self.log.notice(now, subscriber.name, "held", f"{subscriber.name} is held {action.why}: it waits for {missing}")
            return "held"
        for arrival in action.arrivals.values():
            self.log.consume(arrival.event, subscriber.name, f"{action.kind}: {action.why}")
        if action.kind == "skip":
            missing = ", ".join(subscriber.label(name) for name in action.missing)
            self.log.notice(now, subscriber.name, "skipped", f"{subscriber.name} was skipped {action.why}: without {missing}")
        return action.kind

    def _start(self, subscriber: Subscriber, action: Action, now: float) -> str:
        events = [event for event in (self.log.event(a.event) for a in action.arrivals.values()) if event]
        missing = [self._age(subscriber, name, now) for name in action.missing]
        facts: dict[str, Any] = {"created": now, "missing": missing, "why": _why(subscriber, events, action, missing)}
        try:
            facts["params"] = parameters(subscriber, events, now)
        except DbtFlowError as error:
            facts["note"] = "; ".join(single.message for single in flatten(error))
            return self._owe(subscriber, events, "refused", facts)
        standing = self.log.deliveries(OPEN, 1, subscriber.name)
        if subscriber.overlap == "skip" and (standing or self.busy(subscriber.name)):
            facts["note"] = "it was running when this was due"
            return self._owe(subscriber, events, "skipped", facts)
        same = json.dumps(facts["params"], sort_keys=True)
        for waiting in self.log.deliveries(("ready",), 10_000, subscriber.name):
            if waiting.tries == 0 and json.dumps(waiting.params, sort_keys=True) == same:
                for event in events:
                    self.log.consume(event.seq, subscriber.name, "folded", waiting.id)
                self.log.change(waiting.id, why=facts["why"], missing=json.dumps(missing))
                return f"folded into delivery {waiting.id}"
        return self._owe(subscriber, events, "ready", facts)

    def _owe(self, subscriber: Subscriber, events: list[Event], state: str, facts: Mapping[str, Any]) -> str:
        number = self.log.add_delivery(subscriber.name, state, facts)
        for event in events:
            self.log.consume(event.seq, subscriber.name, "starts" if state == "ready" else state, number)
        if state == "ready":
            return f"delivery {number}"
        self.log.notice(facts["created"], subscriber.name, state, f"{subscriber.name} was {state}: {facts['note']}")
        return f"{state}: {facts['note']}"

    def _age(self, subscriber: Subscriber, name: str, now: float) -> str:
        last = self.log.last_event(name)
        label = subscriber.label(name)
        if last is None:
            return f"{label} (nothing has come of it yet)"
        return f"{label} (the last one is {duration(now - last.at)} old)"


def parameters(subscriber: Subscriber, events: list[Event], now: float) -> dict[str, Any]:
    """The parameters that events fill, checked against their types; what no event fills keeps its default.

    :raises DbtFlowError: a value does not fit.
    """
    given: dict[str, Any] = {}
    for event in events:
        wait = subscriber.wait(event.name)
        if wait is not None:
            given.update({name: event.payload[key] for name, key in wait.params.items() if key in event.payload})
    if subscriber.dag is not None:
        nested = next((name for name, value in given.items() if isinstance(value, (dict, list)) or value is None), None)
        if nested is not None:
            raise _does_not_fit(subscriber, nested, f"a {subscriber.dag.params[nested].type}")
        resolved = subscriber.dag.parameters(given, subscriber.today(now))
        return {name: resolved[name] for name in given}
    for name, value in given.items():
        number = _NUMBERS.get(subscriber.params.get(name, "str"))
        try:
            if number and not isinstance(value, bool):
                number(value)
        except (TypeError, ValueError):
            raise _does_not_fit(subscriber, name, subscriber.params[name]) from None
    return given


def _does_not_fit(subscriber: Subscriber, name: str, kind: str) -> DbtFlowError:
    return InputError("bad-value", f"the parameter {name} of {subscriber.name} takes {kind}", hint="mend the event's payload")


def _why(subscriber: Subscriber, events: list[Event], action: Action, missing: list[str]) -> str:
    """In words, as the run's record shows it."""
    parts = []
    for event in events:
        wait = subscriber.wait(event.name)
        if event.source == "schedule":
            parts.append(f"schedule: due {event.id}")
        elif wait is not None and wait.kind == "run":
            parts.append(f"after {event.payload.get('flow_name', wait.label)}/{event.payload.get('run_id', '')}".rstrip("/"))
        else:
            parts.append(f"event {_label(wait, event)}")
    text = " and ".join(parts)
    if missing:
        text = f"{text + ', ' if text else ''}{action.why} without {'; '.join(missing)}"
    elif action.why:
        text = f"{text}, {action.why}" if text else action.why
    return text


def _label(wait: Wait | None, event: Event) -> str:
    return wait.label if wait else event.name


def duration(seconds: float) -> str:
    """``3 min``, ``26 h``, ``4 days``."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h" if seconds < 72 * 3600 else f"{round(seconds / 86400)} days"
