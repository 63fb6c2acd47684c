"""What ``dbt-flow lint --fix`` may change, and why that is safe. Pure: it decides; :mod:`dbt_flow.pipeline.yaml_edits` writes.

**A schedule becomes ``after:``** when the clock was nothing but a way to wait. The DAG reads tables that others build; each of
those is started by the clock, directly or through ``after`` (all); the two schedules alternate: for as long as is looked ahead,
exactly one start of the reader follows each start of the builder, in the first half of the time until the next. Then there are
as many runs as before, each with the same day's data, only no longer too early. Not when something else may be what the clock
waits for: the DAG reads a source, unless ``require_fresh`` waits for it. Never into a circle.

**A DAG is added to ``after:``** (of all) when it stands on the same schedules as those that are named already, or on one that
alternates with theirs.

**A silence that silences nothing** is taken out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from dbt_flow.errors import Place
from dbt_flow.plan.lint.found import Found, Rule
from dbt_flow.plan.lint.landscape import Landscape, Look, Waiter
from dbt_flow.plan.lint.waiting import least, sources_read
from dbt_flow.plan.lint.when import starts

AHEAD = 400
"""Starts of a builder that are looked at: more than a year of days, so both changes of the clocks."""


@dataclass(frozen=True)
class Mend:
    """One change of one file."""

    file: str
    kind: str
    """``after``: it replaces the schedule. ``wait``: names are added to ``after``. ``silence``: a silence goes."""
    names: tuple[str, ...]
    """DAGs to wait for; of a silence, its code."""
    what: str
    """In words."""


@dataclass(frozen=True)
class Mends:
    """What can be mended, and what cannot, with the reason."""

    made: tuple[Mend, ...] = ()
    left: tuple[str, ...] = ()


class _Unsafe(Exception):
    """Why something is left as it is."""


def mends(land: Landscape, found: Iterable[tuple[Rule, Found]]) -> Mends:
    """What of the findings can be mended; the change of one DAG is seen by the next, so that no circle is closed."""
    made: list[Mend] = []
    left: list[str] = []
    wanted: dict[str, list[str]] = {}
    for rule, one in found:
        if rule.code == "reads-without-waiting":
            wanted.setdefault(one.dags[0], []).extend(one.others)
        elif rule.code == "silences-nothing" and one.others and isinstance(one.place, Place):
            what = f"the silence of {one.others[0]} silenced nothing, and is gone"
            made.append(Mend(one.place.file, "silence", one.others, what))
    for name in sorted(wanted):
        look = land.by_name[name]
        try:
            mend = _waits(land, look, wanted[name])
        except _Unsafe as error:
            left.append(f"{look.dag.file} is left as it is: {error}")
            continue
        made.append(mend)
        before = () if mend.kind == "after" else land.waiters[name].waits
        land = replace(land, waiters={**land.waiters, name: Waiter(name, (*before, *mend.names))})
    return Mends(tuple(made), tuple(left))


def _waits(land: Landscape, look: Look, builders: list[str]) -> Mend:
    """:raises _Unsafe: when it is for a person to decide."""
    dag, kind = look.dag, look.dag.trigger.kind
    waiting = [builder for builder in builders if look.name in land.sure.get(builder, ())]
    if waiting:
        raise _Unsafe(f"{waiting[0]} waits for {look.name}, so one cannot wait for the other")
    if kind == "none":
        raise _Unsafe("it has no trigger, and whether it should start by itself is yours to say")
    if kind == "event":
        raise _Unsafe("an event starts it, and whether that comes before or after nobody can know from here")
    if dag.place("trigger").file != dag.file:
        raise _Unsafe(f"its trigger stands in {dag.place('trigger').file}, for other DAGs too")
    needed = least(land, builders)
    clocks = {builder: _clocks(land, builder) for builder in needed}
    if kind == "schedule":
        _only_waits(land, look)
        for builder, root in ((builder, root) for builder, roots in clocks.items() for root in roots):
            if not _follows(land, look.name, root):
                raise _Unsafe(f"its starts do not follow those of {_named(builder, root)} one by one, soon after each")
        joint = " and ".join(needed)
        what = f"it starts after {joint}, whose tables it reads, and no longer {dag.trigger.text}"
        return Mend(dag.file, "after", tuple(needed), what)
    _keeps_pace(land, look, clocks)
    return Mend(dag.file, "wait", tuple(needed), f"it also waits for {' and '.join(needed)}, whose tables it reads")


def _keeps_pace(land: Landscape, look: Look, clocks: Mapping[str, frozenset[str]]) -> None:
    """:raises _Unsafe: when something that a DAG is to wait for starts more or less often than what it waits for already."""
    after = look.dag.trigger.after
    if after is None or after.any:
        raise _Unsafe("it starts after any of several, and one that all must wait for cannot be added to those")
    own = {root for name in after.names for root in _clocks(land, name)}
    for builder, roots in clocks.items():
        for root in roots - own:
            if not any(_alternate(land, root, one) for one in own):
                raise _Unsafe(f"{_named(builder, root)} does not start as often as what it waits for already")


def _named(builder: str, root: str) -> str:
    return builder if builder == root else f"{builder} (through {root})"


def _only_waits(land: Landscape, look: Look) -> None:
    """:raises _Unsafe: when its schedule may wait for something else than DAGs."""
    waited = look.dag.require_fresh.otherwise == "wait" if look.dag.require_fresh else False
    for source in sources_read(look):
        if not land.builders.get(look.table(source)) and not (waited and source.id in look.required):
            raise _Unsafe(f"it reads the source {source.name} too, and its schedule may be what waits for that")


def _clocks(land: Landscape, name: str, under: tuple[str, ...] = ()) -> frozenset[str]:
    """The DAGs and ML flows on a schedule that one stands on through ``after``.

    :raises _Unsafe: something else starts one of them.
    """
    waiter, look = land.waiters.get(name), land.by_name.get(name)
    if waiter is None or name in under:
        raise _Unsafe(f"when {name} starts is not known")
    if waiter.schedule:
        return frozenset({name})
    if not waiter.waits or waiter.any:
        event = look is None or look.dag.trigger.event is not None
        how = "any of several" if waiter.waits else "an event" if event else "a person"
        raise _Unsafe(f"{name} is started by {how}, so how often is not known")
    return frozenset[str]().union(*(_clocks(land, other, (*under, name)) for other in waiter.waits))


def _follows(land: Landscape, reader: str, builder: str) -> bool:
    """Whether exactly one start of the reader comes in the first half of the time between two starts of the builder."""
    later = _between(land, builder, reader)
    return bool(later) and all(len(own) == 1 and own[0] - first <= (second - first) / 2 for (first, second), own in later)


def _alternate(land: Landscape, one: str, other: str) -> bool:
    """Whether exactly one start of the other comes between two starts of the one."""
    later = _between(land, one, other)
    return bool(later) and all(len(own) == 1 for _, own in later)


def _between(land: Landscape, one: str, other: str) -> list[tuple[tuple[datetime, datetime], list[datetime]]]:
    """For each two starts of the one, the starts of the other from the first of them until the second."""
    coming = starts(land, one, AHEAD)
    waiting = [start for start in starts(land, other, 2 * AHEAD) if start >= coming[0]] if coming else []
    found, place = [], 0
    for first, second in pairwise(coming):
        own = []
        while place < len(waiting) and waiting[place] < second:
            own.append(waiting[place])
            place += 1
        found.append(((first, second), own))
        if place == len(waiting) and len(waiting) >= AHEAD:
            break
    return found
