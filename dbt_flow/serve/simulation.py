"""What would start, when and why: the core of ``serve`` with a clock that is set.

Runs take as long as the last ones did.

Nothing is started and nothing is remembered. Every run is taken to end well, but those that the caller lets fail.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.plan.arrivals import Action, Arrival, Standing, arrive, next_moment, pass_time, waiting_for
from dbt_flow.serve.clockwork import next_start
from dbt_flow.serve.event import Event
from dbt_flow.serve.intake import duration, parameters
from dbt_flow.serve.listeners import Listening, Subscriber

USUAL = 60.0
"""Seconds that a run is taken to last when there was none before."""
MOST = 2000
"""Rows; a simulation that gets there ends."""


@dataclass(frozen=True)
class Row:
    """Something that would happen."""

    at: float
    subscriber: str
    what: str
    """starts, ends, fails, is held, is skipped, is refused, waits."""
    why: str


@dataclass
class Simulation:
    """A story, told by :meth:`until`."""

    listening: Listening
    now: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    """How long each takes."""
    failing: Collection[str] = ()
    schedules: bool = True
    rows: list[Row] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._heap: list[tuple[float, int, str, Any]] = []
        self._numbers = itertools.count(1)
        self._events: dict[int, Event] = {}
        self._running: set[str] = set()
        self._queued: dict[str, tuple[str, ...]] = {}
        for subscriber in self.listening.subscribers:
            standing, _ = pass_time(subscriber.rule, Standing(), self.now)
            self.standings[subscriber.name] = standing
            if self.schedules:
                self._schedule(subscriber, self.now)
                self._clock(subscriber)

    def event(self, name: str, payload: Mapping[str, Any] | None = None, at: float | None = None) -> None:
        """An event comes."""
        self._push(self.now if at is None else at, "event", Event(name, "simulated", payload or {}, at or self.now))

    def end_of(self, name: str) -> None:
        """A run of a DAG or a flow ends well."""
        self._push(self.now, "event", self._end(self.listening.by_name[name], self.now))

    def start_of(self, name: str) -> None:
        """A DAG or a flow is started by hand."""
        self._push(self.now, "start", (self.listening.by_name[name], "by hand"))

    def until(self, end: float) -> list[Row]:
        """Let time pass; what happened."""
        while self._heap and self._heap[0][0] <= end and len(self.rows) < MOST:
            self.now, _, kind, what = heapq.heappop(self._heap)
            getattr(self, f"_on_{kind}")(what)
        for subscriber in self.listening.subscribers:
            standing = self.standings[subscriber.name]
            if standing.arrived:
                missing = ", ".join(subscriber.label(name) for name in waiting_for(subscriber.rule, standing))
                self.rows.append(Row(self.now, subscriber.name, "waits", f"for {missing}"))
        return self.rows

    # ---- what happens

    def _on_event(self, event: Event) -> None:
        number = next(self._numbers)
        self._events[number] = event
        for subscriber in self.listening.by_event.get(event.name, ()):
            wait = subscriber.wait(event.name)
            lacking = [name for name in (wait.required if wait else ()) if name not in event.payload]
            if lacking:
                self.rows.append(Row(self.now, subscriber.name, "does not start", f"the payload lacks {', '.join(lacking)}"))
                continue
            standing = self.standings[subscriber.name]
            standing, actions = arrive(subscriber.rule, standing, event.name, Arrival(number, self.now))
            self._after(subscriber, standing, actions)

    def _on_clock(self, subscriber: Subscriber) -> None:
        standing, actions = pass_time(subscriber.rule, self.standings[subscriber.name], self.now)
        self._after(subscriber, standing, actions)
        self._clock(subscriber)

    def _on_schedule(self, subscriber: Subscriber) -> None:
        self._start(subscriber, f"its schedule: {subscriber.text}")
        self._schedule(subscriber, self.now)

    def _on_start(self, what: tuple[Subscriber, str]) -> None:
        self._start(*what)

    def _on_end(self, subscriber: Subscriber) -> None:
        self._running.discard(subscriber.name)
        took = duration(self._lasts(subscriber))
        if subscriber.name in self.failing:
            self.rows.append(Row(self.now, subscriber.name, "fails", f"after {took}, as was asked"))
        else:
            self.rows.append(Row(self.now, subscriber.name, "ends", f"after {took}"))
            self._on_event(self._end(subscriber, self.now))
        if subscriber.name in self._queued:
            self._start(subscriber, "; ".join(self._queued.pop(subscriber.name)))

    def _after(self, subscriber: Subscriber, standing: Standing, actions: tuple[Action, ...]) -> None:
        self.standings[subscriber.name] = standing
        for action in actions:
            missing = ", ".join(subscriber.label(name) for name in action.missing)
            if action.kind == "start":
                labels = [subscriber.label(name) for name in action.arrivals]
                parts = [f"after {' and '.join(labels)}"] if labels and subscriber.waits[0].kind == "run" else []
                parts += [f"on {' and '.join(labels)}"] if labels and not parts else []
                parts += [f"{action.why} without {missing}"] if missing else []
                self._start_checked(subscriber, action, ", ".join(parts))
            elif action.kind in ("hold", "skip"):
                what = "is held" if action.kind == "hold" else "is skipped"
                self.rows.append(Row(self.now, subscriber.name, what, f"{action.why}: without {missing}"))

    def _start_checked(self, subscriber: Subscriber, action: Action, why: str) -> None:
        try:
            given = parameters(subscriber, [self._events[a.event] for a in action.arrivals.values()], self.now)
        except DbtFlowError as error:
            self.rows.append(Row(self.now, subscriber.name, "is refused", error.message))
            return
        said = ", ".join(f"{name}={value}" for name, value in given.items())
        self._start(subscriber, f"{why} ({said})" if said else why)

    def _start(self, subscriber: Subscriber, why: str) -> None:
        if subscriber.name in self._running:
            if subscriber.overlap == "skip":
                self.rows.append(Row(self.now, subscriber.name, "is skipped", f"it is running; due by {why}"))
            else:
                self._queued[subscriber.name] = (*self._queued.get(subscriber.name, ()), why)
            return
        self._running.add(subscriber.name)
        self.rows.append(Row(self.now, subscriber.name, "starts", why))
        self._push(self.now + self._lasts(subscriber), "end", subscriber)

    # ---- what is to come

    def _push(self, at: float, kind: str, what: Any) -> None:
        heapq.heappush(self._heap, (at, next(self._numbers), kind, what))

    def _schedule(self, subscriber: Subscriber, after: float) -> None:
        start = next_start(subscriber, datetime.fromtimestamp(after, timezone.utc))
        if start is not None:
            self._push(start.at.timestamp(), "schedule", subscriber)

    def _clock(self, subscriber: Subscriber) -> None:
        moment = next_moment(subscriber.rule, self.standings[subscriber.name], self.now)
        if moment is not None:
            self._push(moment, "clock", subscriber)

    def _lasts(self, subscriber: Subscriber) -> float:
        return self.seconds.get(subscriber.name, USUAL)

    def _end(self, subscriber: Subscriber, at: float) -> Event:
        return Event(subscriber.finished, f"{subscriber.flow}/simulated", {"flow_name": subscriber.flow}, at, "run")
