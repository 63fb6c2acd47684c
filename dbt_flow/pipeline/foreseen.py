"""``foresee()``: what a person asks of a run before it is made: how long, what holds it up, when, in time, who is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dbt_flow.pipeline.forecast import Forecast
from dbt_flow.pipeline.job import Job
from dbt_flow.plan.paths import critical_path
from dbt_flow.plan.planned import Plan
from dbt_flow.records import SUCCESS
from dbt_flow.report.alerts import notice_routes, page_routes
from dbt_flow.report.deadlines import deadlines
from dbt_flow.report.estimate import seconds_whole
from dbt_flow.report.rules import Rules
from dbt_flow.report.words import duration, usual_seconds
from dbt_flow.spec import Start, clock_warnings, next_starts
from dbt_flow.state.durations import usual_durations
from dbt_flow.state.history import history

STARTS = 5
_LOOKED_AT = 20
"""Runs whose length is looked at."""


@dataclass(frozen=True)
class Told:
    """Who hears of a run of a DAG."""

    owner: str
    contact: Mapping[str, str]
    """How the owner is reached, as dbt_flow.yml says."""
    page: str
    """What pages: error, warn or off."""
    notify: str
    pages: bool
    """Whether a page has a way to go."""
    notices: bool
    """Whether a message has one."""
    others: Mapping[str, int]
    """Other teams, with how many of the nodes are theirs: they hear of those."""


@dataclass(frozen=True)
class Foreseen:
    """What the past says of the next run."""

    seconds: float | None
    """Of building, by what each node usually takes."""
    known: int
    """Of how many nodes that is known."""
    runs: tuple[float, ...]
    """How long the last good runs took, in all; the newest first."""
    path: tuple[tuple[str, float | None], ...]
    """The longest chain of nodes, with what each usually takes."""
    starts: tuple[Start, ...]
    warnings: tuple[str, ...]
    """Where a change of the clocks skips or doubles a start."""
    deadline: Mapping[str, Any] | None
    told: Told

    @property
    def usual(self) -> float | None:
        """The median of :attr:`runs`."""
        return usual_seconds({"status": SUCCESS, "seconds": seconds} for seconds in self.runs)


def foresee(job: Job, found: Forecast, now: datetime) -> Foreseen:
    """Look at the history of the DAG on its target, at its schedule, and at who is told.

    :param now: aware
    """
    dag, plan = job.dag, found.plan
    usual = usual_durations(job.store, plan.target)
    idle = [item.id for item in found.decisions if item.decision != "run"]
    seconds = seconds_whole(plan, usual, found.threads, idle)
    lines = history(job.store, dag.name, plan.target, limit=_LOOKED_AT)
    runs = tuple(float(line["seconds"]) for line in lines if line.get("status") == SUCCESS and line.get("seconds"))
    starts = tuple(next_starts(dag, now, STARTS))
    rules = Rules.from_dict(job.telling)
    return Foreseen(
        seconds,
        sum(node.id in usual for node in plan.nodes),
        runs,
        _path(plan, usual, frozenset(idle)),
        starts,
        tuple(str(warning.message) for warning in clock_warnings(dag, now)),
        _deadline(rules, starts[0].at if starts else None, now, usual_seconds(lines) or seconds),
        _told(rules, plan, {key: text for key, text in job.owner_contact.items() if key != "description"}),
    )


def _path(plan: Plan, usual: Mapping[str, float], idle: frozenset[str]) -> tuple[tuple[str, float | None], ...]:
    """The chain that takes longest; where nothing is known of times, the chain of the most models."""
    known = {key: 0.0 if key in idle else seconds for key, seconds in usual.items()}
    weights = known if usual else {node.id: 0.0 if node.is_test else 1.0 for node in plan.nodes}
    chain = [key for key in critical_path(plan, weights) if key not in idle]
    while chain and plan.by_id[chain[-1]].is_test and not weights.get(chain[-1]):
        chain.pop()
    return tuple((key, usual.get(key)) for key in chain)


def _deadline(rules: Rules, start: datetime | None, now: datetime, seconds: float | None) -> dict[str, Any] | None:
    """When it is due, and whether the next scheduled run is then done."""
    found = deadlines(rules, start or now)
    if found is None:
        return None
    due = found[1]
    said: dict[str, Any] = {
        "done_by": rules.done_by,
        "timezone": rules.timezone,
        "next": due.isoformat(),
        "spare": None,
        "text": "",
    }
    if start is None or seconds is None:
        return said
    spare = (due - (start + timedelta(seconds=seconds))).total_seconds()
    end = (start + timedelta(seconds=seconds)).astimezone(ZoneInfo(rules.timezone))
    word = f"{duration(spare)} to spare" if spare >= 0 else f"{duration(-spare)} too late"
    return said | {"spare": round(spare), "text": f"the next run would be done at about {end:%H:%M}, {word}"}


def _told(rules: Rules, plan: Plan, contact: Mapping[str, str]) -> Told:
    owners = Counter[str]()
    for node in plan.nodes:
        tested = plan.by_id.get(node.tests or "")
        named = node.owner or (tested.owner if tested else None)
        if named and rules.reachable(named) != rules.owner:
            owners[rules.reachable(named)] += 1
    return Told(
        rules.owner,
        dict(contact),
        rules.page,
        rules.notify,
        bool(page_routes(rules, rules.owner)) or rules.through_datadog,
        bool(notice_routes(rules, rules.owner)),
        dict(owners.most_common()),
    )
