"""Who starts when: the decisions, as functions of values. No clock, no disk, no process.

``serve``, ``simulate`` and the first step of a run that Argo starts (:mod:`.turns`) share this file, and the properties of
``tests/plan/test_arrivals.py`` hold for all.

A listener waits for names (:attr:`Listener.waits`). What has arrived since it last fired is its :class:`Standing`:
:func:`arrive` takes an event in, :func:`pass_time` lets the clock run, and both give the new standing with what is to be done.

- ``all``: fires when each name has arrived. A second event of one name takes the first one's place: the latest counts.
- ``any``: fires for each event.
- ``within``: the arrivals that fire together lie no farther apart. One that waits longer than that can no longer be paired:
  ``otherwise`` says what then.
- ``at_latest``: a round ends at that time of day. If the listener has not fired since the round before ended, ``otherwise``
  says what then.
- ``otherwise``: ``hold`` says so to the owner and waits on; ``skip`` drops what came; ``run`` starts with what there is, and
  names what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal
from zoneinfo import ZoneInfo

from dbt_flow.spec.clock import moments


@dataclass(frozen=True)
class Listener:
    """What somebody waits for, as the core sees it."""

    name: str
    waits: tuple[str, ...]
    """Names of events."""
    any: bool = False
    within: float | None = None
    """Seconds."""
    at_latest: str | None = None
    """``07:00``, in ``zone``."""
    zone: str = "UTC"
    otherwise: Literal["hold", "skip", "run"] = "hold"


@dataclass(frozen=True)
class Arrival:
    """An event that has come and has not fired yet."""

    event: int
    """Its place in the log."""
    at: float


@dataclass(frozen=True)
class Standing:
    """What a listener knows since it last fired."""

    arrived: Mapping[str, Arrival] = field(default_factory=dict)
    fired: float | None = None
    """When it last fired."""
    round: float | None = None
    """The end of the ``at_latest`` round that was last looked at; None before the first look."""
    held: float | None = None
    """Since when it is held; None when it is not."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        arrived = {name: [arrival.event, arrival.at] for name, arrival in self.arrived.items()}
        return {"arrived": arrived, "fired": self.fired, "round": self.round, "held": self.held}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Standing:
        """The inverse of :meth:`to_dict`."""
        arrived = {name: Arrival(int(event), float(at)) for name, (event, at) in data["arrived"].items()}
        return cls(arrived, data.get("fired"), data.get("round"), data.get("held"))


@dataclass(frozen=True)
class Action:
    """What is to be done for one listener."""

    kind: Literal["start", "hold", "skip", "replaced"]
    arrivals: Mapping[str, Arrival] = field(default_factory=dict)
    """Of ``start``: what it starts with. Of ``skip`` and ``replaced``: what is dropped."""
    missing: tuple[str, ...] = ()
    why: str = ""


Step = tuple[Standing, tuple[Action, ...]]


def arrive(listener: Listener, standing: Standing, name: str, arrival: Arrival) -> Step:
    """An event has come that ``listener`` waits for."""
    if listener.any or len(listener.waits) == 1:
        return _fired(standing, arrival.at), (Action("start", {name: arrival}),)
    actions: list[Action] = []
    if name in standing.arrived:
        actions.append(Action("replaced", {name: standing.arrived[name]}, why="a later one took its place"))
    arrived = {**standing.arrived, name: arrival}
    if set(arrived) >= set(listener.waits):
        together, apart = _together(listener, arrived)
        if not apart:
            return _fired(standing, arrival.at), (*actions, Action("start", together))
    return replace(standing, arrived=arrived), tuple(actions)


def _fired(standing: Standing, at: float) -> Standing:
    """It has fired. What was held fires for the round that it was late for: the next one has still to come."""
    late = standing.held is not None and standing.round is not None
    return replace(standing, arrived={}, fired=standing.round if late else at, held=None)


def pass_time(listener: Listener, standing: Standing, now: float) -> Step:
    """Let the clock show ``now``: ends of rounds, and arrivals that can no longer be paired."""
    standing, actions = _expire(listener, standing, now)
    if listener.at_latest is None:
        return standing, actions
    end = last_round_end(listener, now)
    if standing.round is None or end <= standing.round:
        # Nobody is late for a round that ended before anybody listened; a clock set back ends no round twice.
        return replace(standing, round=end if standing.round is None else standing.round), actions
    before = standing.round
    standing = replace(standing, round=end)
    if standing.fired is not None and standing.fired > before and standing.fired <= end:
        return standing, actions
    standing, more = _otherwise(listener, standing, now, f"at {listener.at_latest}")
    return standing, (*actions, *more)


def _expire(listener: Listener, standing: Standing, now: float) -> Step:
    """An arrival that is older than ``within``, with others still missing, cannot be paired any more."""
    if listener.within is None or not standing.arrived:
        return standing, ()
    old = {name: arrival for name, arrival in standing.arrived.items() if arrival.at + listener.within < now}
    if not old:
        return standing, ()
    if listener.otherwise == "skip":
        kept = {name: arrival for name, arrival in standing.arrived.items() if name not in old}
        return replace(standing, arrived=kept), (Action("skip", old, _missing(listener, kept), "they did not come in time"),)
    if listener.otherwise == "hold" and standing.held is not None:
        return standing, ()
    return _otherwise(listener, standing, now, "they did not come in time")


def _otherwise(listener: Listener, standing: Standing, now: float, why: str) -> Step:
    missing = _missing(listener, standing.arrived)
    if listener.otherwise == "hold":
        held = now if standing.held is None else standing.held
        return replace(standing, held=held), (Action("hold", standing.arrived, missing, why),)
    fresh = replace(standing, arrived={}, held=None)
    if listener.otherwise == "skip":
        return fresh, (Action("skip", standing.arrived, missing, why),)
    # It counts for the round that has just ended, and not for the next.
    return replace(fresh, fired=now if standing.round is None else standing.round), (
        Action("start", standing.arrived, missing, why),
    )


def _together(listener: Listener, arrived: Mapping[str, Arrival]) -> tuple[Mapping[str, Arrival], tuple[str, ...]]:
    """Those that lie no farther apart than ``within`` from the latest, and the names of the others."""
    if listener.within is None:
        return arrived, ()
    latest = max(arrival.at for arrival in arrived.values())
    near = {name: arrival for name, arrival in arrived.items() if arrival.at >= latest - listener.within}
    return near, tuple(name for name in listener.waits if name not in near)


def _missing(listener: Listener, arrived: Mapping[str, Arrival]) -> tuple[str, ...]:
    """What it waits for. With ``within``, one that came and is too old is missing as well."""
    near, _ = _together(listener, arrived) if arrived else ({}, ())
    missing = tuple(name for name in listener.waits if name not in near)
    return () if listener.any and near else missing


def waiting_for(listener: Listener, standing: Standing) -> tuple[str, ...]:
    """The names that have not come since it last fired."""
    return _missing(listener, standing.arrived)


def last_round_end(listener: Listener, now: float) -> float:
    """The latest moment, not after ``now``, at which clocks in the listener's zone showed ``at_latest``.

    On a day that leaves that time out the round ends an hour later, as clocks show it; on one that has it twice, at the first.
    """
    return max(end for end in _round_ends(listener, now) if end <= now)


def next_moment(listener: Listener, standing: Standing, now: float) -> float | None:
    """When :func:`pass_time` has something to do next; None when only an event can bring something."""
    found = []
    if listener.at_latest is not None:
        found.append(min(end for end in _round_ends(listener, now) if end > now))
    if listener.within is not None and standing.arrived and not (listener.otherwise == "hold" and standing.held):
        found.append(min(arrival.at for arrival in standing.arrived.values()) + listener.within + 0.001)
    return min(found, default=None)


def _round_ends(listener: Listener, now: float) -> Iterable[float]:
    zone = ZoneInfo(listener.zone)
    hour, minute = (int(part) for part in str(listener.at_latest).split(":")[:2])
    today = datetime.fromtimestamp(now, timezone.utc).astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)
    for days in (-2, -1, 0, 1, 2):
        wall = (today + timedelta(days=days)).replace(hour=hour, minute=minute)
        there = moments(wall, zone) or moments(wall + timedelta(hours=1), zone)
        if there:
            yield there[0].timestamp()
