"""Schedules against what past runs took, and against the clocks. Times come from the landscape, never from a clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, time, timedelta, timezone
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from dbt_flow.plan.lint.found import Found, some
from dbt_flow.plan.lint.landscape import Landscape, Look
from dbt_flow.spec import clock_warnings
from dbt_flow.spec.clock import starts_of
from dbt_flow.yamlfile import listed

STARTS = 200
"""Starts to come that are looked at."""
DAY = 86400.0


def starts(land: Landscape, name: str, count: int = STARTS) -> list[datetime]:
    """The next starts of a DAG or ML flow on a schedule, in UTC."""
    waiter = land.waiters[name]
    found = islice(starts_of(waiter.schedule, waiter.zone, land.now), count)
    return [start.at.astimezone(timezone.utc) for start in found]


def piles_up(land: Landscape) -> Iterator[Found]:
    """Schedules that start a DAG again before it is usually done; DuckDB files that are wanted more than all of the time."""
    for look in land.looks:
        if not look.dag.trigger.schedule or look.usual is None:
            continue
        shortest = min((b - a for a, b in pairwise(starts(land, look.name))), default=timedelta(days=366)).total_seconds()
        if look.usual > shortest:
            overlap = look.dag.overlap or look.dag.default_overlap
            then = "starts are left out" if overlap == "skip" else "starts are folded into one"
            message = f"{look.name} usually takes {span(look.usual)} and starts every {span(shortest)}: {then}"
            fix = f"let it start less often, at least {span(look.usual)} apart, or make it faster: dbt-flow plan {look.name}"
            yield Found(message, fix, look.dag.place("trigger.schedule"), (look.name,))
    yield from _crowded(land)


def _crowded(land: Landscape) -> Iterator[Found]:
    """One process holds a DuckDB file: the DAGs that build into it take turns."""
    by_file: dict[str, list[tuple[float, Look]]] = defaultdict(list)
    for look in land.looks:
        if look.target.path and look.usual is not None:
            by_file[look.target.path].append((look.usual * a_day(land, look.name, ()), look))
    for path, held in by_file.items():
        total = sum(seconds for seconds, _ in held)
        busy = sorted((item for item in held if item[0] > 0), key=lambda item: -item[0])
        if total <= DAY or len(busy) < 2:
            continue
        names = [f"{look.name} ({span(seconds)})" for seconds, look in busy]
        file = path.rpartition("/")[2]
        message = (
            f"the DAGs that build into {file} hold it for {span(total)} of every day, and it has one writer: {some(names)}"
        )
        place = busy[0][1].dag.place("trigger")
        dags = tuple(look.name for _, look in busy)
        yield Found(message, "let the largest start less often, or give it a target with a file of its own", place, dags)


def a_day(land: Landscape, name: str, under: tuple[str, ...]) -> float:
    """How often a DAG is started by the clock in a day, directly or through ``after``; 0 when nobody can know."""
    waiter = land.waiters.get(name)
    if waiter is None or name in under:
        return 0.0
    if waiter.schedule:
        coming = starts(land, name)
        stretch = (coming[-1] - coming[0]).total_seconds() if len(coming) > 1 else 0.0
        return (len(coming) - 1) * DAY / stretch if stretch else 0.0
    each = [a_day(land, other, (*under, name)) for other in waiter.waits]
    return (sum if waiter.any else min)(each) if each else 0.0


def clock_change(land: Landscape) -> Iterator[Found]:
    """Starts of the coming year that a daylight-saving change skips or doubles."""
    for look in land.looks:
        warnings = clock_warnings(look.dag, land.now)
        if warnings:
            more = f", and {len(warnings) - 1} more in the coming year" if len(warnings) > 1 else ""
            place = warnings[0].place or look.dag.place("trigger.schedule")
            yield Found(warnings[0].message + more, warnings[0].hint or "choose another time", place, (look.name,))


def deadline_too_early(land: Landscape) -> Iterator[Found]:
    """``done_by`` before the DAG, and all that it waits for, are usually done."""
    for look in land.looks:
        if look.dag.done_by is None or look.usual is None:
            continue
        place, fix = look.dag.place("done_by"), "let it start earlier, make it faster, or give it a done_by that can hold"
        foretold = _foretold(land, look.name, ())
        if foretold is not None:
            begin, end = foretold
            due = _due(look, begin)
            if end > due:
                wall = end.astimezone(ZoneInfo(look.dag.timezone))
                late = span((end - due).total_seconds())
                after = f"after {listed(sorted(land.sure.get(look.name, ())))} " if look.dag.trigger.after else ""
                message = (
                    f"{look.name} is due by {look.dag.done_by} and usually done at {wall:%H:%M}, {late} late: "
                    f"it starts {after}and takes {span(look.usual)}"
                )
                yield Found(message.replace("starts and", f"starts {look.dag.trigger.text} and"), fix, place, (look.name,))
            continue
        ends = [run.started + timedelta(seconds=run.seconds) for run in look.past]
        late_ones = [end for run, end in zip(look.past, ends, strict=True) if end > _due(look, run.started)]
        if len(late_ones) * 2 > len(ends):
            message = (
                f"{look.name} is due by {look.dag.done_by}, and {len(late_ones)} of its last {len(ends)} good runs ended later"
            )
            yield Found(message, fix, place, (look.name,))


def _foretold(land: Landscape, name: str, under: tuple[str, ...]) -> tuple[datetime, datetime] | None:
    """When the chain that ends with a DAG next begins by the clock, and when that DAG is usually done; None if unknown."""
    look = land.by_name.get(name)
    if look is None or look.usual is None or name in under:
        return None
    if look.dag.trigger.schedule:
        begin = starts(land, name, 1)[0]
        return begin, begin + timedelta(seconds=look.usual)
    waiter = land.waiters.get(name)
    each = [_foretold(land, other, (*under, name)) for other in (waiter.waits if waiter else ())]
    known = [times for times in each if times is not None]
    if not known or len(known) < len(each) or (waiter and waiter.any):
        return None
    begin = max(times[0] for times in known)
    return begin, max(times[1] for times in known) + timedelta(seconds=look.usual)


def _due(look: Look, begin: datetime) -> datetime:
    """The first deadline after a moment."""
    zone = ZoneInfo(look.dag.timezone)
    hours, minutes = map(int, str(look.dag.done_by).split(":"))
    local = begin.astimezone(zone)
    due = datetime.combine(local.date(), time(hours, minutes), zone)
    if due <= local:
        due = datetime.combine(local.date() + timedelta(days=1), time(hours, minutes), zone)
    return due.astimezone(timezone.utc)


def span(seconds: float) -> str:
    """``45 s``, ``12 min``, ``1 h 30 min``, ``7 days``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.0f} days"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
