"""Ends of runs, read from what was recorded, whoever started them: ``dbt-flow run``, bare Metaflow, or this runtime.

A DAG's run is at its end when its record says so (``history/<target>/<dag>.jsonl`` has a line, else ``result.json``) and the
process of its last attempt is gone, so that whoever starts from it finds all of it in Metaflow. From that two events are made:

- ``metaflow.<project>.<branch>.<Flow>.end``, with Metaflow's own fields, when the run is good;
- ``dbt_flow.<project>.<branch>.<Flow>.settled``, with a verdict for each relation, whenever it has ended.

Each is in the log once, by the run's id; how far a file was read is kept in the same transaction. So a crash between record and
event loses nothing and doubles nothing. A run that died without a word is settled here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.plan.awaited import finish_name
from dbt_flow.plan.planned import Plan
from dbt_flow.records import GOOD, SUCCESS, RunResult, flow_name, utc_moment
from dbt_flow.serve import crash, local_metadata
from dbt_flow.serve.event import Event
from dbt_flow.serve.eventlog import EventLog
from dbt_flow.state.begun import dags_begun, unheard
from dbt_flow.state.runs import Attempt, RunRecord, RunRef, find_runs, still_runs
from dbt_flow.state.store import Store

LAST_WORDS = 60.0
"""Seconds that a run's process may outlive its record before its end is told all the same."""
LOOK_BACK = 20
"""Runs of a DAG that are looked at when the runtime starts."""
_RUNS_LESS_OFTEN = 5  # times that ends of runs are looked for between two looks for runs that go on, where a look costs


@dataclass(frozen=True)
class End:
    """A run that has ended."""

    flow: str
    number: str
    status: str
    at: float
    task: str
    """Metaflow's pathspec of the last step's task."""
    project: str | None
    branch: str | None
    result: RunResult | None = None
    plan: Plan | None = None


def events_of(end: End) -> list[Event]:
    """``finished``, when it is good, and ``settled``, when it is a DAG's."""
    run = f"{end.flow}/{end.number}"
    facts = {
        "flow_name": end.flow,
        "run_id": end.number,
        "project_name": end.project,
        "branch_name": end.branch,
        "is_user_branch": str(bool(end.branch and end.branch.startswith("user."))) if end.project else None,
        "project_flow_name": ".".join(part for part in (end.project, end.branch, end.flow) if part) if end.project else None,
    }
    shared = {key: value for key, value in facts.items() if value}
    found = []
    if end.status == SUCCESS:
        _, _, step, task_id = end.task.split("/")
        name = finish_name(end.project, end.branch, end.flow)
        payload = {
            "name": name,
            "id": end.task,
            "timestamp": int(end.at),
            "utc_date": time.strftime("%Y%m%d", time.gmtime(end.at)),
            "generated-by-metaflow": True,
            "pathspec": end.task,
            "step_name": step,
            "task_id": task_id,
            **shared,
            "auto-generated-by-metaflow": "True",
        }
        found.append(Event(name, end.task, payload, end.at, "run"))
    if end.result is not None:
        name = ".".join(part for part in ("dbt_flow", end.project, end.branch, end.flow, "settled") if part)
        payload = {"name": name, "id": run, "timestamp": int(end.at), "status": end.status, "run": run, **shared}
        payload["relations"] = verdicts(end.plan, end.result)
        found.append(Event(name, run, payload, end.at, "run"))
    return found


def verdicts(plan: Plan | None, result: RunResult) -> dict[str, str]:
    """For each relation that the run was to build: ``good`` when it was built and every test on it is good, else ``bad``."""
    if plan is None:
        return {}
    good = {node.id for node in result.nodes if node.status in GOOD}
    tested = {parent for node in plan.nodes if node.is_test and node.id not in good for parent in (*node.parents, node.tests)}
    built = [node for node in plan.nodes if node.relation and not node.is_test]
    return {str(node.relation): "good" if node.id in good and node.id not in tested else "bad" for node in built}


@dataclass
class Outcomes:
    """Watches the records of DAG runs. :meth:`tick` is to be called outside transactions."""

    log: EventLog
    store: Store
    project: str
    branch: str
    open: dict[str, RunRef] = field(default_factory=dict)
    """Runs that go on, by ``Flow/number``."""
    _ended: set[str] = field(default_factory=set)
    _waiting: dict[str, Attempt | None] = field(default_factory=dict)
    _heard: dict[str, set[str]] = field(default_factory=dict)
    """By the key of a log of history, the runs that were heard of."""
    _marks: dict[str, str] = field(default_factory=dict)
    _folders: dict[str, str] = field(default_factory=dict)
    _begun: dict[str, str] = field(default_factory=dict)
    _next_look: float = 0.0
    _next_runs: float = 0.0

    def begin(self, now: float) -> None:
        """Go on where the log was left. A new log begins now: nobody is started by what ended before."""
        began = self.log.cursor("began")
        logs = {key: self._history(key) for key in self.store.logs("history")}
        with self.log.transaction():
            if began is None:
                self.log.put_cursor("began", repr(now))
                for key, raw in logs.items():
                    self.log.put_cursor(f"history.{_short(key)}", str(len(raw)))
        offsets = self.log.cursors("history.")
        for key, raw in logs.items():
            offset = int(offsets.get(_short(key), 0))
            self._heard[key] = set(_runs(raw[: offset if offset <= len(raw) else self._after_the_last_heard(key, raw)]))
        self._unheard(float(began) if began else now)

    def tick(self) -> int:
        """Look for what has ended since; gives the number of new events."""
        now = time.monotonic()
        if now < self._next_look:
            return 0
        self._next_look = now + self.store.look_every
        if now >= self._next_runs:
            self._next_runs = now + _RUNS_LESS_OFTEN * self.store.look_every
            self._look_for_runs()
        found = 0
        for key, mark in self.store.logs("history").items():
            if self._marks.get(key) != mark:
                count, whole = self._read(key)
                found += count
                if whole:
                    self._marks[key] = mark
        return found

    def _after_the_last_heard(self, key: str, raw: bytes) -> int:
        """Where to go on in a log that was written anew: behind the run that was heard last, else at its beginning."""
        heard = self.log.cursor(f"heard.{_short(key)}")
        offset = position = 0
        for line in raw.splitlines(keepends=True):
            position += len(line)
            if heard is not None and _run_of(line) == heard:
                offset = position
        return offset

    def busy(self, dag: str) -> bool:
        """Whether a run of a DAG goes on."""
        return any(ref.dag == dag for ref in self.open.values())

    # ---- history

    def _history(self, key: str) -> bytes:
        return self.store.get(key) or b""

    def _read(self, key: str) -> tuple[int, bool]:
        """Hear of the runs of a log that were not heard of; gives the new events, and whether all lines were taken.

        A line may come to stand before others (machines do not agree on the time), and old ones go: each run is known by name.
        """
        target, _, dag = _short(key).partition("/")
        heard = self._heard.setdefault(key, set())
        found = offset = 0
        for line in self._history(key).splitlines(keepends=True):
            offset += len(line)
            run = _run_of(line)
            if not line.endswith(b"\n"):
                return found, False
            if run in heard:
                continue
            end = self._end(target, dag, line)
            if end is False:
                return found, False
            crash.point("recorded")
            with self.log.transaction():
                if isinstance(end, End):
                    found += sum(self.log.add_event(event) is not None for event in events_of(end))
                self.log.put_cursor(f"history.{_short(key)}", str(offset))
                self.log.put_cursor(f"heard.{_short(key)}", run or "")
            if run is not None:
                heard.add(run)
            crash.point("sent")
        return found, True

    def _end(self, target: str, dag: str, line: bytes) -> End | bool | None:
        """What a line of history says; None for a damaged one; False while its process still runs."""
        number = _run_of(line)
        return None if number is None else self._end_of(RunRef(target, dag, number))

    def _end_of(self, ref: RunRef) -> End | bool | None:
        record = RunRecord(self.store, ref)
        name = f"{flow_name(ref.dag)}/{ref.number}"
        if name not in self._waiting:
            attempts = _or_none(record.attempts) or ()
            self._waiting[name] = attempts[-1] if attempts else None
        last = self._waiting[name]
        result = _or_none(record.result)
        if result is None:
            self._waiting.pop(name)
            return None
        at = utc_moment(result.finished).timestamp() if result.finished else time.time()
        if last is not None and still_runs(last.header) and time.time() - at < LAST_WORDS:
            return False
        self._waiting.pop(name)
        self.open.pop(name, None)
        header: Mapping[str, Any] = last.header if last else {}
        document = _or_none(lambda: record.get("plan.json"))
        plan = Plan.from_dict(document) if document else None
        said = local_metadata.project_and_branch(header.get("cards"), name)
        project, branch = said or (self.project, self.branch)
        task = str(header.get("task") or f"{name}/end/1")
        return End(flow_name(ref.dag), ref.number, result.status, at, task, project, branch, result, plan)

    # ---- runs that go on, and runs that died

    def _look_for_runs(self) -> None:
        for target, dag in self._dags():
            folder = f"runs/{target}/{dag}"
            mark = self.store.mark(folder)
            if mark is not None and self._folders.get(folder) == mark:
                continue
            self._folders[folder] = mark or ""
            for ref in self._newest(target, dag):
                name = f"{flow_name(ref.dag)}/{ref.number}"
                if name not in self._ended and not self._settled(ref):
                    self.open.setdefault(name, ref)
        for name, ref in list(self.open.items()):
            if self._settled(ref):
                self.open.pop(name)

    def settle_the_dead(self) -> list[str]:
        """Settle runs whose process is gone; their names. To be called now and then: it reads their logs."""
        from dbt_flow.pipeline.settle import settle_dead  # noqa: PLC0415 - loads the card's side, when a run has died

        found = self._settle_the_unheard()
        for name, ref in list(self.open.items()):
            if self._settled(ref):  # by itself, since the last look
                self.open.pop(name)
                continue
            settle = partial(settle_dead, self.store, ref.dag, ref.number, name.partition("/")[0])
            if _or_none(settle):
                self.open.pop(name, None)
                found.append(name)
        return found

    def _settle_the_unheard(self) -> list[str]:
        """Runs that died before they had a record. A DAG is looked at when a run of it has begun, until that has a record."""
        from dbt_flow.pipeline.unheard import settle_unheard  # noqa: PLC0415 - as above

        found: list[str] = []
        for dag, mark in dags_begun(self.store).items():
            if self._begun.get(dag) != mark:
                found += [result.run for result in _or_none(partial(settle_unheard, self.store, dag)) or ()]
                if not unheard(self.store, dag)[1]:
                    self._begun[dag] = mark
        return found

    def _unheard(self, began: float) -> None:
        """Runs that were settled and whose line of history was lost with the process that was about to write it."""
        for target, dag in self._dags():
            known = set(_runs(self._history(f"history/{target}/{dag}.jsonl")))
            for ref in self._newest(target, dag):
                end = None if ref.number in known or not self._settled(ref) else self._end_of(ref)
                if isinstance(end, End) and end.at > began:
                    with self.log.transaction():
                        for event in events_of(end):
                            self.log.add_event(event)

    def _dags(self) -> Iterator[tuple[str, str]]:
        """Targets, each with its DAGs that have run there."""
        for target in self.store.list("runs"):
            for dag in self.store.list(f"runs/{target}"):
                yield target, dag

    def _newest(self, target: str, dag: str) -> list[RunRef]:
        return [*islice(find_runs(self.store, dag, target), LOOK_BACK)]

    def _settled(self, ref: RunRef) -> bool:
        name = f"{flow_name(ref.dag)}/{ref.number}"
        if name not in self._ended and "result.json" in self.store.list(ref.folder):
            self._ended.add(name)
        return name in self._ended


def _short(key: str) -> str:
    """``dev/carrier_risk`` of ``history/dev/carrier_risk.jsonl``."""
    return key.removeprefix("history/").removesuffix(".jsonl")


def _runs(raw: bytes) -> Iterator[str]:
    """The runs that whole lines of history tell of."""
    for line in raw.splitlines(keepends=True):
        run = _run_of(line)
        if run is not None and line.endswith(b"\n"):
            yield run


def _run_of(line: bytes) -> str | None:
    """Metaflow's id of the run that a line of history tells of; None for a damaged line."""
    try:
        return str(json.loads(line)["run"]).rpartition("/")[2]
    except (ValueError, KeyError, TypeError):
        return None


def _or_none(call: Any) -> Any:
    """What ``call`` gives; None for a document that cannot be read: it costs its run an event, never the runtime."""
    try:
        return call()
    except (DbtFlowError, OSError, ValueError, KeyError, TypeError):
        return None
