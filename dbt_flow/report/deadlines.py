"""``done_by``: when a DAG must be good, whether it is late, and whether it will be. Pure: the time is always given.

A DAG on a schedule is due only after one of its starts: no start between two deadlines, nothing to be late with. Every other
DAG is due each day. ``serve`` asks :func:`overdue` for DAGs that never started; a run asks :func:`at_risk` of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from dbt_flow.plan.paths import critical_path
from dbt_flow.plan.planned import Plan
from dbt_flow.records import SUCCESS, RunResult
from dbt_flow.report.rules import Rules
from dbt_flow.report.words import duration, moment


@dataclass(frozen=True)
class Late:
    """A DAG that is not good by its deadline."""

    deadline: datetime
    by: timedelta
    started: bool
    """Whether a run has begun since the deadline before."""
    headline: str


@dataclass(frozen=True)
class AtRisk:
    """A run that will not be done in time."""

    deadline: datetime
    expected: datetime
    node: str
    """The id of the node that is slow."""
    headline: str


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    running: Mapping[str, datetime]
    """When each node that is being built began."""
    done: frozenset[str]


def deadline_on(rules: Rules, day: date) -> datetime | None:
    """The deadline of a day, aware; None for a DAG without one. In a gap of the clocks it is the hour after."""
    if rules.done_by is None:
        return None
    hours, minutes = map(int, rules.done_by.split(":"))
    wall = datetime.combine(day, time(hours, minutes), ZoneInfo(rules.timezone))
    return wall.astimezone(timezone.utc).astimezone(ZoneInfo(rules.timezone))


def deadlines(rules: Rules, now: datetime) -> tuple[datetime, datetime] | None:
    """The last deadline that has passed and the one to come; None for a DAG without one."""
    today = now.astimezone(ZoneInfo(rules.timezone)).date()
    days = [deadline_on(rules, today + timedelta(days=shift)) for shift in (-1, 0, 1)]
    known = [day for day in days if day is not None]
    passed = [day for day in known if day <= now]
    coming = [day for day in known if day > now]
    return (passed[-1], coming[0]) if passed and coming else None


def overdue(rules: Rules, history: Iterable[Mapping[str, Any]], now: datetime) -> Late | None:
    """Whether the DAG was due by the last deadline and is not good yet, started or not.

    :param history: summaries of its runs (:func:`dbt_flow.state.runs.history`), running ones with the status ``running``
    """
    found = deadlines(rules, now)
    if found is None:
        return None
    deadline = found[0]
    window = deadline - timedelta(days=1)
    if rules.scheduled and not any(window < start <= deadline for start in _starts(rules, window, deadline)):
        return None
    since = [run for run in history if (began := moment(run.get("started"))) is not None and began > window]
    if any(run.get("status") == SUCCESS for run in since):
        return None
    by = now - deadline
    how = "has not started" if not since else "is still running" if since[0].get("status") == "running" else "is not good"
    headline = (
        f"{rules.dag} is late: it {how}, and should have been done by {rules.done_by} ({duration(by.total_seconds())} ago)"
    )
    return Late(deadline, by, bool(since), headline)


def lateness(rules: Rules, result: RunResult) -> float | None:
    """Seconds from the deadline that the run was for to its end, below 0 when it was in time; None without ``done_by``."""
    began, ended = moment(result.started), moment(result.finished)
    if began is None or ended is None:
        return None
    found = deadlines(rules, began)
    return (ended - found[1]).total_seconds() if found else None


def schedule_delay(rules: Rules, result: RunResult) -> float | None:
    """Seconds from the scheduled start to the real one; None for a run that no schedule started."""
    began = moment(result.started)
    if began is None or not rules.scheduled or not result.trigger.startswith("schedule"):
        return None
    before = [start for start in _starts(rules, began - timedelta(days=8), began) if start <= began]
    return (began - max(before)).total_seconds() if before else None


def at_risk(plan: Plan, usual: Mapping[str, float], progress: Progress, deadline: datetime, now: datetime) -> AtRisk | None:
    """Whether the longest path that is left ends after ``deadline``, going by what each node usually takes.

    :param usual: seconds by node id; without any history nothing is foretold
    """
    left: dict[str, float] = {}
    slow: dict[str, float] = {}
    for key in (planned.id for planned in plan.nodes if planned.id not in progress.done):
        left[key] = usual.get(key, 0.0)
        if key in progress.running:
            elapsed = (now - progress.running[key]).total_seconds()
            left[key] = max(left[key] - elapsed, 0.0)
            slow[key] = elapsed - usual[key] if key in usual else 0.0
    path = [key for key in critical_path(plan, left) if key in left]
    expected = now + timedelta(seconds=sum(left[key] for key in path))
    if not path or not usual or expected <= deadline:
        return None
    running = [key for key in path if key in slow]
    worst = max(running, key=slow.__getitem__, default="")
    node = worst if worst and slow[worst] > 0 else max(path, key=left.__getitem__)
    name = plan.by_id[node].name
    if node in slow and slow[node] > 0:
        because = f"{name} runs for {duration(slow[node] + usual.get(node, 0.0))} and usually takes {duration(usual.get(node))}"
    else:
        because = f"the longest that is left is {name}, which usually takes {duration(usual.get(node))}"
    wall = expected.astimezone(deadline.tzinfo)
    headline = f"{plan.dag} will be late: done at about {wall:%H:%M}, due by {deadline:%H:%M}; {because}"
    return AtRisk(deadline, expected, node, headline)


def _starts(rules: Rules, after: datetime, until: datetime) -> Iterator[datetime]:
    """Scheduled starts in a stretch of time; a few minutes' error at a change of the clocks does not matter here."""
    zone = ZoneInfo(rules.timezone)
    for cron in rules.scheduled:
        local = after.astimezone(zone).replace(tzinfo=None)
        for wall in CronSim(cron, local):
            start = wall.replace(tzinfo=zone)
            if start > until:
                break
            yield start
