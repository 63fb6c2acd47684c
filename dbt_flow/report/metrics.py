"""From a settled run to what Datadog is sent: points, service checks and an event. Pure; sending is another file's."""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import psutil

from dbt_flow.plan.planned import Plan
from dbt_flow.plan.waves import END, START
from dbt_flow.records import FAILED, REUSED, RUN_CANCELLED, SKIPPED, SUCCESS, RunResult
from dbt_flow.redact import text as redacted
from dbt_flow.report.causes import CANCELLED_KIND, Cause, owner_of, root_causes
from dbt_flow.report.metric_names import BY_NAME, SERVICE_CHECK_DAG, SERVICE_CHECK_NODE
from dbt_flow.report.rules import Rules
from dbt_flow.report.words import clean, moment, one_line
from dbt_flow.state.runs import Attempt

EVENT_BYTES = 7_500
"""The agent takes 8 KB for the whole datagram; tags and heading need some."""

OK, WARNING, CRITICAL = 0, 1, 2
_MOST_TAG = 190
_TRIGGERS = ("schedule", "event", "after", "retry", "resume", "api")


@dataclass(frozen=True)
class Point:
    """One value of one metric."""

    name: str
    """Without its prefix; a key of :data:`dbt_flow.report.metric_names.BY_NAME`."""
    value: float
    tags: tuple[str, ...]

    def line(self) -> str:
        """For people: ``dbt_flow.dag.runs 1 count dag:x ...``."""
        metric = BY_NAME[self.name]
        return f"{metric.full} {self.value:g} {metric.kind} {' '.join(self.tags)}"


@dataclass(frozen=True)
class Check:
    """A service check."""

    name: str
    status: int
    message: str
    tags: tuple[str, ...]

    def line(self) -> str:
        """For people."""
        return f"{self.name} {('OK', 'WARNING', 'CRITICAL')[self.status]} service check {' '.join(self.tags)}"


@dataclass(frozen=True)
class Event:
    """What stands in Datadog's event stream."""

    title: str
    text: str
    tags: tuple[str, ...]
    key: str
    """Events with the same key are shown together."""


@dataclass(frozen=True)
class Measured:
    """All that is sent for one run."""

    points: tuple[Point, ...]
    checks: tuple[Check, ...]
    event: Event | None = None

    def lines(self) -> list[str]:
        """What ``--print-metrics`` shows."""
        event = [f"event {self.event.title}"] if self.event else []
        return [*(point.line() for point in self.points), *(check.line() for check in self.checks), *event]


@dataclass(frozen=True)
class Around:
    """What is known beside the run itself."""

    usage: Mapping[str, float] = field(default_factory=dict)
    """Of the run's process, or of all its steps; see :func:`usage`."""
    history: tuple[Mapping[str, Any], ...] = ()
    """Summaries of earlier runs, newest first."""
    lateness: float | None = None
    """Seconds from ``done_by`` to the run's end; None for a DAG without one."""
    delay: float | None = None
    waiting: int = 0
    """Messages in the outbox."""
    freshness: tuple[Mapping[str, Any], ...] = ()
    """Results of dbt's ``sources.json``."""
    steps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What each node that had a step of its own has used, by id; as ``usage``."""


def measure(rules: Rules, plan: Plan | None, result: RunResult, around: Around) -> Measured:
    """What a settled run sends."""
    tag.cache_clear()  # what is a secret may have become known since
    causes = root_causes(plan, result)
    tags = common_tags(rules, result)
    points = [*_of_dag(result, causes, around, tags), *_of_nodes(rules, plan, result, causes, tags)]
    recovered = _recovered(result, around.history)
    points += [*_of_sources(plan, result, around.freshness, tags)]
    for node, used in around.steps.items():
        points += [Point(f"node.{name}", value, _node_tags(plan, node, tags, result.owner)) for name, value in used.items()]
    points += [Point("node.failed", 0, _node_tags(plan, node, tags, result.owner)) for node in recovered]
    checks = [_check(result, tags), *_node_checks(plan, result, causes, recovered, tags)]
    return Measured(tuple(points), tuple(checks), _event(result, causes, tags) if result.status == FAILED else None)


def common_tags(rules: Rules, result: RunResult) -> tuple[str, ...]:
    """Tags of every metric of a run; ``env`` and ``service`` are the client's own when Datadog's variables say them."""
    said = rules.metrics
    tags = [
        ("project", rules.project),
        ("dag", result.dag),
        ("owner", result.owner),
        ("target", result.target),
        ("trigger", trigger_kind(result.trigger)),
    ]
    if not os.environ.get("DD_ENV"):
        tags.append(("env", said.get("env") or result.target))
    if not os.environ.get("DD_SERVICE"):
        tags.append(("service", said.get("service") or "dbt-flow"))
    return (*(tag(name, value) for name, value in tags), *said.get("tags", ()))


def trigger_kind(words: str) -> str:
    """``schedule``, ``event``, ``after``, ``retry``... out of what started a run, in words; ``manual`` for the rest."""
    first = words.split(" ", 1)[0].lower()
    return first if first in _TRIGGERS else "manual"


@lru_cache(maxsize=50_000)
def tag(name: str, value: str) -> str:
    """A tag as Datadog takes it: no comma, bar, hash or blank, and not long."""
    plain = re.sub(r"[^\w./:@+-]+", "_", one_line(redacted(str(value)), 400)).strip("_")
    return f"{name}:{plain[:_MOST_TAG] or 'none'}"


def usage() -> dict[str, float]:
    """What this process has used until now."""
    process = psutil.Process()
    times = process.cpu_times()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {
        "cpu": times.user + times.system + times.children_user + times.children_system,
        "memory": float(most if sys.platform == "darwin" else most * 1024),
    }
    with suppress(AttributeError, psutil.Error, OSError):  # not every system counts
        counters = process.io_counters()
        found |= {"read": float(counters.read_bytes), "written": float(counters.write_bytes)}
    return found


def of_steps(attempts: Iterable[Attempt]) -> tuple[dict[str, float], dict[str, Mapping[str, float]]]:
    """What the processes of a run of several steps have used, all together, and each node that had a step of its own."""
    whole: dict[str, float] = {}
    nodes: dict[str, Mapping[str, float]] = {}
    for attempt in attempts:
        used = (attempt.left or {}).get("used")
        if not isinstance(used, Mapping):
            continue
        for name, value in used.items():
            before = whole.get(name, 0.0)
            whole[name] = max(before, value) if name == "memory" else round(before + value, 3)
        built = [node for node in attempt.started if not node.startswith(("test.", "unit_test."))]
        if len(built) == 1 and attempt.step not in (START, END):
            nodes[built[0]] = used
    return whole, nodes


def _of_dag(result: RunResult, causes: tuple[Cause, ...], around: Around, tags: tuple[str, ...]) -> Iterator[Point]:
    ended = (*tags, tag("status", result.status))
    good = result.status == SUCCESS
    values = {
        "dag.attempts": result.attempt + 1,
        "dag.root_causes": len(causes),
        "dag.blocked": sum(node.status == SKIPPED for node in result.nodes),
        "dag.reused": sum(node.status == REUSED for node in result.nodes),
        "dag.rows": sum(node.rows or 0 for node in result.nodes),
        "dag.success": float(good),
        **{f"dag.{name}": value for name, value in around.usage.items()},
    }
    yield Point("dag.runs", 1, ended)
    yield Point("dag.duration", result.seconds, ended)
    for name, value in values.items():
        yield Point(name, value, tags)
    for status, number in result.counts.items():
        yield Point("dag.nodes", number, (*tags, tag("status", status)))
    since = 0.0 if good else _since_success(result, around.history)
    optional = {"dag.last_success": since, "dag.schedule_delay": around.delay}
    if around.lateness is not None:
        optional |= {"dag.lateness": around.lateness, "dag.late": float(around.lateness > 0)}
    for name, maybe in optional.items():
        if maybe is not None:
            yield Point(name, maybe, tags)
    yield Point("alerts.waiting", around.waiting, tags)


def _of_nodes(
    rules: Rules, plan: Plan | None, result: RunResult, causes: tuple[Cause, ...], tags: tuple[str, ...]
) -> Iterator[Point]:
    roots = {cause.result.id for cause in causes}
    for node in sorted(result.nodes, key=lambda node: node.good):  # what is not good first: the end may be dropped
        if node.good and not rules.metrics.get("nodes", True):
            continue
        mine = _node_tags(plan, node.id, tags, result.owner)
        ended = (*mine, tag("status", node.status))
        yield Point("node.results", 1, ended)
        if node.started:
            yield Point("node.duration", node.seconds, ended)
        if node.rows is not None:
            yield Point("node.rows", node.rows, mine)
        if node.failures is not None:
            yield Point("node.failures", node.failures, mine)
        if node.id in roots:
            yield Point("node.failed", 1, mine)


def _of_sources(
    plan: Plan | None, result: RunResult, freshness: Iterable[Mapping[str, Any]], tags: tuple[str, ...]
) -> Iterator[Point]:
    for row in freshness:
        age, source = row.get("max_loaded_at_time_ago_in_s"), row.get("unique_id")
        if isinstance(age, (int, float)) and source:
            status = tag("status", str(row.get("status") or "unknown"))
            yield Point("source.age", float(age), (*_node_tags(plan, str(source), tags, result.owner), status))


def _node_tags(plan: Plan | None, node: str, tags: tuple[str, ...], owner: str) -> tuple[str, ...]:
    """The run's tags with the node's; its owner stands in for the DAG's."""
    known = plan.by_id.get(node) if plan else None
    kind = known.type if known else node.partition(".")[0]
    own = tag("owner", owner_of(plan, known, owner))
    shared = (own if said.startswith("owner:") else said for said in tags)
    return (*shared, tag("node", known.name if known else node), tag("type", kind))


def _recovered(result: RunResult, history: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Nodes that are good now, and were not in one of the last runs."""
    bad = {node for run in history for node in run.get("failed", ())}
    return tuple(node.id for node in result.nodes if node.good and node.id in bad)


def _since_success(result: RunResult, history: Iterable[Mapping[str, Any]]) -> float | None:
    now = moment(result.finished)
    for run in history:
        began = moment(run.get("started"))
        if run.get("status") == SUCCESS and began and now:
            return max((now - began).total_seconds() - float(run.get("seconds") or 0.0), 0.0)
    return None


def _check(result: RunResult, tags: tuple[str, ...]) -> Check:
    status = {SUCCESS: OK, RUN_CANCELLED: WARNING}.get(result.status, CRITICAL)
    return Check(SERVICE_CHECK_DAG, status, one_line(redacted(result.reason), 500), tags)


def _node_checks(
    plan: Plan | None, result: RunResult, causes: Iterable[Cause], recovered: Iterable[str], tags: tuple[str, ...]
) -> Iterator[Check]:
    """One for each root cause, and for what is good again; ``node:run`` stands for a run that failed without a node."""
    bad = [cause for cause in causes if cause.kind != CANCELLED_KIND]
    for cause in bad:
        said = one_line(redacted(cause.headline), 500)
        yield Check(SERVICE_CHECK_NODE, CRITICAL, said, _node_tags(plan, cause.result.id, tags, result.owner))
    for node in recovered:
        yield Check(SERVICE_CHECK_NODE, OK, "good again", _node_tags(plan, node, tags, result.owner))
    whole = (*tags, tag("node", "run"), tag("type", "run"))
    if result.status == FAILED and not bad:
        yield Check(SERVICE_CHECK_NODE, CRITICAL, one_line(redacted(result.reason), 500), whole)
    elif result.status == SUCCESS:
        yield Check(SERVICE_CHECK_NODE, OK, "good", whole)


def _event(result: RunResult, causes: Iterable[Cause], tags: tuple[str, ...]) -> Event:
    lines = [one_line(redacted(result.reason), 1_000)]
    for cause in causes:
        blocked = f", blocks {len(cause.blocks)}" if cause.blocks else ""
        lines.append(f"- {one_line(redacted(cause.headline), 400)} (owner {one_line(cause.owner, 80)}{blocked})")
    body = clean("\n".join(lines), EVENT_BYTES)
    while len(body.encode()) > EVENT_BYTES - sum(len(tag) + 1 for tag in tags):
        body = body[: int(len(body) * 0.9)]
    return Event(f"{one_line(result.dag, 80)} {result.status}", body, tags, f"dbt_flow/{result.target}/{result.dag}")
