"""The decisions of :mod:`.arrivals` where no runtime stays awake: on Argo each event, and the clock, starts a workflow.

Its first step takes a turn: it lets the time pass that nobody saw pass, takes in what it has heard, and finds out whether it is
the one that builds. What is known after a turn is a :class:`Ledger`; one turn goes on from the ledger of the turn before, so
turns that are taken at the same time cannot both start with the same events. All of this is pure: ledgers are kept by
:mod:`dbt_flow.state.turns_taken`, turns are taken by :mod:`dbt_flow.pipeline.first_step`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dbt_flow.plan.arrivals import Action, Arrival, Listener, Standing, arrive, next_moment, pass_time
from dbt_flow.records import RECORD_VERSION

REMEMBERED = 100
"""Events of one name that are known again, and starts that are known to their runs."""


@dataclass(frozen=True)
class Heard:
    """An event, as it was heard. ``name`` and ``id`` together happen once."""

    name: str
    id: str
    """Of the end of a run: ``Flow/number``."""
    at: float
    """When it happened, seconds since the epoch."""
    payload: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"name": self.name, "id": self.id, "at": self.at, "payload": dict(self.payload)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Heard:
        """The inverse of :meth:`to_dict`."""
        return cls(str(data["name"]), str(data["id"]), float(data["at"]), data.get("payload") or {})


@dataclass(frozen=True)
class Done:
    """What was decided in a turn."""

    kind: str
    """start, hold, skip, replaced: of :class:`~.arrivals.Action`."""
    events: tuple[Heard, ...] = ()
    missing: tuple[str, ...] = ()
    """Names of events."""
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        events = [[one.name, one.id, one.at] for one in self.events]
        return {"kind": self.kind, "events": events, "missing": list(self.missing), "why": self.why}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Done:
        """The inverse of :meth:`to_dict`."""
        events = tuple(Heard(str(name), str(key), float(at)) for name, key, at in data["events"])
        return cls(str(data["kind"]), events, tuple(data["missing"]), str(data["why"]))


@dataclass(frozen=True)
class Ledger:
    """What is known after a turn."""

    standing: Standing = field(default_factory=Standing)
    began: float | None = None
    """Since when it listens; None before anything was heard."""
    clock: float | None = None
    """Until when time has passed."""
    count: int = 0
    """Events that were heard."""
    waiting: Mapping[int, Heard] = field(default_factory=dict)
    """Those of :attr:`standing`, by their number."""
    heard: Mapping[str, tuple[tuple[str, float, str], ...]] = field(default_factory=dict)
    """By name, the last events: id, time, and the run that heard it."""
    starts: Mapping[str, Done] = field(default_factory=dict)
    """By run, with what it started; the last ones. A run that is tried again finds itself here."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "version": RECORD_VERSION,
            "standing": self.standing.to_dict(),
            "began": self.began,
            "clock": self.clock,
            "count": self.count,
            "waiting": {str(number): one.to_dict() for number, one in self.waiting.items()},
            "heard": {name: [list(one) for one in known] for name, known in self.heard.items()},
            "starts": {run: done.to_dict() for run, done in self.starts.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ledger:
        """The inverse of :meth:`to_dict`."""
        return cls(
            Standing.from_dict(data["standing"]),
            data["began"],
            data["clock"],
            int(data["count"]),
            {int(number): Heard.from_dict(one) for number, one in data["waiting"].items()},
            {name: tuple((str(k), float(at), str(by)) for k, at, by in known) for name, known in data["heard"].items()},
            {run: Done.from_dict(done) for run, done in data["starts"].items()},
        )

    def by_whom(self, event: Heard) -> str | None:
        """The run that heard an event; None for one that is new."""
        return next((run for key, _, run in self.heard.get(event.name, ()) if key == event.id), None)

    def last(self, name: str) -> float | None:
        """When the last event of a name happened, that is known."""
        return max((at for _, at, _ in self.heard.get(name, ())), default=None)


def listen(rule: Listener, now: float) -> Ledger:
    """The first ledger: it listens from now on. Nobody is started by what happened before."""
    return Ledger(pass_time(rule, Standing(), now)[0], began=now, clock=now)


def take_turn(
    rule: Listener, before: Ledger, news: Iterable[Heard], run: str, now: float
) -> tuple[Ledger, tuple[Done, ...], tuple[Heard, ...]]:
    """The ledger after a turn, what was decided in it, and which of the news were new.

    What starts in it is one start, of ``run``: several are folded, as ``serve`` folds deliveries that wait.

    :param now: the clock; an event that says it is later than that is taken to happen now.
    """
    ledger = _still_awaited(rule, before)
    new: dict[tuple[str, str], Heard] = {}
    for one in sorted(news, key=lambda one: (one.at, one.name, one.id)):
        if one.name in rule.waits and ledger.by_whom(one) is None:
            new.setdefault((one.name, one.id), replace(one, at=min(one.at, now)))
    if ledger.began is None:
        ledger = listen(rule, min([now, *(one.at for one in new.values())]))
    decided: list[Done] = []
    for one in new.values():
        ledger = _until(rule, ledger, one.at, decided)
        ledger = _hear(ledger, one, run)
        standing, actions = arrive(rule, ledger.standing, one.name, Arrival(ledger.count, one.at))
        ledger = _settled(ledger, standing, actions, decided)
    ledger = _until(rule, ledger, now, decided)
    starts = [done for done in decided if done.kind == "start"]
    if starts:
        kept = [(key, done) for key, done in ledger.starts.items() if key != run][-REMEMBERED + 1 :]
        ledger = replace(ledger, starts=dict([*kept, (run, starts[-1])]))
    return ledger, tuple(decided), tuple(new.values())


def _still_awaited(rule: Listener, ledger: Ledger) -> Ledger:
    """What is no longer waited for, since the DAG was deployed anew, is forgotten."""
    arrived = {name: arrival for name, arrival in ledger.standing.arrived.items() if name in rule.waits}
    if len(arrived) == len(ledger.standing.arrived):
        return ledger
    return replace(ledger, standing=replace(ledger.standing, arrived=arrived))


def _until(rule: Listener, ledger: Ledger, until: float, decided: list[Done]) -> Ledger:
    """Let the clock run, and look whenever there is something to see, as a runtime would have done that is awake."""
    clock = ledger.clock if ledger.clock is not None else until
    while (moment := next_moment(rule, ledger.standing, clock)) is not None and moment <= until:
        clock = max(clock, moment)
        ledger = _settled(ledger, *pass_time(rule, ledger.standing, clock), decided)
    clock = max(clock, until)
    return replace(_settled(ledger, *pass_time(rule, ledger.standing, clock), decided), clock=clock)


def _hear(ledger: Ledger, event: Heard, run: str) -> Ledger:
    known = (*ledger.heard.get(event.name, ()), (event.id, event.at, run))[-REMEMBERED:]
    number = ledger.count + 1
    return replace(ledger, count=number, waiting={**ledger.waiting, number: event}, heard={**ledger.heard, event.name: known})


def _settled(ledger: Ledger, standing: Standing, actions: Iterable[Action], decided: list[Done]) -> Ledger:
    """Note what was decided, and keep the events that still wait."""
    for action in actions:
        events = tuple(ledger.waiting[one.event] for one in action.arrivals.values() if one.event in ledger.waiting)
        decided.append(Done(action.kind, events, action.missing, action.why))
    kept = {arrival.event for arrival in standing.arrived.values()}
    return replace(ledger, standing=standing, waiting={key: one for key, one in ledger.waiting.items() if key in kept})
