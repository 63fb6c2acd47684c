"""What a run takes over from the run that it follows, or from its own earlier attempts; and what of it counts no more.

That a node *was* good says nothing of what its relation holds by now: a run of the same DAG for another day, or of another DAG
that builds the same model, may have replaced it (:func:`overtaken`). The records say who did, on whichever machine; what was
changed by somebody else than a run is not seen here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.receipt import LOOK_BACK, receipt_of
from dbt_flow.plan.decide import PAST
from dbt_flow.plan.planned import Plan
from dbt_flow.records import GOOD, LOST, REUSED, SKIPPED, TEST_TYPES, NodeResult, flow_name, utc_moment
from dbt_flow.state.runs import Attempt, RunRecord, RunRef, find_run, find_runs, last_results
from dbt_flow.state.store import Store, read_lines

if TYPE_CHECKING:
    from dbt_flow.pipeline.attempt import Task

_ALWAYS = utc_moment("9999-12-31T00:00:00Z")
_NEVER = utc_moment("0001-01-01T00:00:00Z")


@dataclass(frozen=True)
class _Said:
    """What another run says of a node that it began to build."""

    node: str
    until: datetime
    """When it ended; never, while it goes on. Of one that died when it began."""
    status: str | None
    run: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class TakenOver:
    """What need not be made again."""

    follows: str | None = None
    """The run that is followed, in its own words."""
    good: Mapping[str, NodeResult] = field(default_factory=dict)
    bad: Mapping[str, str] = field(default_factory=dict)
    """The statuses of what is not good."""
    overtaken: Mapping[str, str] = field(default_factory=dict)
    """Of what is good the ids of what counts no more, each with the reason."""


def take_over(store: Store, plan: Plan, task: Task, earlier: Iterable[NodeResult] = ()) -> TakenOver:
    """What is good of a plan before the run begins, or goes on.

    :param earlier: the results of the run's own earlier attempts
    """
    origin = find_run(store, plan.dag, task.origin) if task.origin else None
    origin = origin if origin and origin.target == plan.target else None
    follows = f"{task.flow}/{origin.number}" if origin else None
    found: dict[str, NodeResult] = {}
    results = last_results(RunRecord(store, origin)) if origin else []
    for result in results:
        if result.good:
            reason = f"{result.status} in {follows}"
            found[result.id] = replace(result, status=REUSED, reason=reason, seconds=0.0, started=None, finished=None)
    found |= {result.id: result for result in earlier if result.good}
    planned = {node.id for node in plan.nodes}
    found = {node: result for node, result in found.items() if node in planned}
    mine = [*([origin] if origin else []), RunRef(plan.target, plan.dag, task.run)]
    return TakenOver(
        follows=follows or (f"{task.flow}/{task.run}" if found else None),
        good=found,
        bad={result.id: result.status for result in results if not result.good},
        overtaken=overtaken(store, mine, found),
    )


def overtaken(store: Store, own: Sequence[RunRef], good: Iterable[str]) -> dict[str, str]:
    """Of the nodes that were ``good`` those that count no more, each with the reason: another run has built it since, with
    other values or with a bad end.

    :param own: the run in which they were good, and the one that follows it, if there is one: what those built is theirs
    """
    since = _built(store, own, frozenset(good))
    if not since:
        return {}
    first = RunRecord(store, own[0])
    values = _values(first, first.attempts())
    newest: dict[str, _Said] = {}
    for ref in _later_runs(store, own[0].target, min(moment for moment, _ in since.values())):
        for said in _words(RunRecord(store, ref)) if ref not in own else ():
            moment, made_by = since.get(said.node, (_ALWAYS, ""))
            if said.until < moment or said.node not in since or said.run == made_by:
                continue
            if said.node.partition(".")[0] in TEST_TYPES and said.values != values:
                continue  # a test leaves nothing behind: what it found for other values is no news
            if said.node not in newest or said.until > newest[said.node].until:
                newest[said.node] = said
    return {node: reason for node, said in newest.items() if (reason := _reason(said, values))}


def _reason(said: _Said, values: Mapping[str, str]) -> str | None:
    if said.values != values:
        return f"{said.run} has built it since{_with(said.values, values)}"
    if said.status in GOOD:
        return None
    return (
        f"{said.run} is building it"
        if said.status is None
        else f"{PAST.get(said.status, f'ended as {said.status}')} in {said.run} since"
    )


def _with(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """``, with as_of=2026-11-01``: what is otherwise there."""
    other = [f"{name}={theirs[name]}" for name in sorted(theirs) if theirs[name] != ours.get(name)]
    gone = [f"no {name}" for name in sorted(ours) if name not in theirs]
    return f", with {', '.join([*other, *gone][:3])}"


def _built(store: Store, own: Iterable[RunRef], good: frozenset[str]) -> dict[str, tuple[datetime, str]]:
    """When each of the good nodes began to be what it is, and the run that made it."""
    found: dict[str, tuple[datetime, str]] = {}
    for ref in own:
        record, run = RunRecord(store, ref), _name(ref)
        for attempt in record.attempts():
            for result in attempt.results:
                began = attempt.started.get(result.id) or result.started
                if result.id in good and result.good and began:
                    found[result.id] = utc_moment(began), run
        settled = record.result()
        for node in settled.nodes if settled else ():
            if settled and node.status == REUSED and node.id in good and node.id not in found:
                # What was looked at and found unchanged was right when that run began, whenever it was built.
                unchanged = node.reason.startswith("unchanged")
                found[node.id] = (utc_moment(settled.started), run) if unchanged else _made(record, node.id)
    return found


def _made(record: RunRecord, node: str) -> tuple[datetime, str]:
    """When and in which run a node was made that a run has taken over."""
    with suppress(DbtFlowError, ValueError, TypeError):
        said = receipt_of(record)
        for item in said["nodes"] if said else ():
            if item["id"] == node and item["built"]:
                return utc_moment(item["built"]), str(item["built_in"])
    return _NEVER, ""


def _later_runs(store: Store, target: str, oldest: datetime) -> Iterator[RunRef]:
    """The runs on a target that may have built something since ``oldest``; what the history knows is not opened."""
    for dag in store.list(f"runs/{target}"):
        ended = {
            str(line.get("run")).rpartition("/")[2]: _end(line) for line in read_lines(store, f"history/{target}/{dag}.jsonl")
        }
        before = 0
        for ref in find_runs(store, dag, target):
            if ended.get(ref.number, _ALWAYS) >= oldest:
                yield ref
                continue
            before += 1
            if before >= LOOK_BACK:
                break


def _end(line: Mapping[str, Any]) -> datetime:
    """A second late rather than early: seconds are rounded."""
    try:
        return datetime.fromtimestamp(utc_moment(str(line["started"])).timestamp() + float(line["seconds"]) + 1, _NEVER.tzinfo)
    except (KeyError, TypeError, ValueError):
        return _ALWAYS


def _words(record: RunRecord) -> Iterator[_Said]:
    with suppress(DbtFlowError, ValueError, TypeError):  # a record that is damaged, or newer than we know
        attempts = record.attempts()
        values = _values(record, attempts)
        run = _name(record.ref)
        over = record.result() is not None
        for attempt in attempts:
            ended = {result.id: result for result in attempt.results if result.status != SKIPPED}
            for node in attempt.started.keys() | ended.keys():
                result = ended.get(node)
                if result is not None:
                    until, status = utc_moment(result.finished or attempt.started[node]), result.status
                elif over or not attempt.alive:
                    until, status = utc_moment(attempt.started[node]), LOST
                else:
                    until, status = _ALWAYS, None
                yield _Said(node, until, status, run, values)


def _name(ref: RunRef) -> str:
    return f"{flow_name(ref.dag)}/{ref.number}"


def _values(record: RunRecord, attempts: Iterable[Attempt]) -> dict[str, str]:
    """All that tells one build from another in a run: the DAG's vars, the run's parameters, the span of its batches."""
    plan: Mapping[str, Any] = {}
    with suppress(DbtFlowError):
        plan = record.get("plan.json") or {}
    header: Mapping[str, Any] = next((attempt.header for attempt in attempts if attempt.header), {})
    fixed = {str(name): str(value) for name, value in (plan.get("vars") or {}).items()}
    given = {str(name): str(value) for name, value in (header.get("parameters") or {}).items()}
    span = {
        str(name): str(value) for name, value in (header.get("options") or {}).items() if str(name).startswith("event_time")
    }
    return {**fixed, **given, **span}
