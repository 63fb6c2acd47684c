"""``execute()``: one attempt of a run, inside its Metaflow task. It raises for nothing that dbt or the data do: it records."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from metaflow.exception import METAFLOW_EXIT_DISALLOW_RETRY

from dbt_flow import __version__
from dbt_flow.errors import DbtFlowError, RunCancelled, RunFailed
from dbt_flow.metaflow_seam import CardStore
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.live import LiveCard
from dbt_flow.pipeline.prepare import Prepared, prepare, target_folder, why
from dbt_flow.pipeline.settle import Ending, Sink, card_extra, complete, judge, keep_run_results, tell
from dbt_flow.pipeline.upstream import deferred, explain_missing, with_upstream
from dbt_flow.plan.decide import decide
from dbt_flow.plan.model import Decision, Plan
from dbt_flow.plan.paths import ranks
from dbt_flow.project.refusals import refusal
from dbt_flow.records import REUSED, RUNNING, SUCCESS, NodeResult, RunResult, utc_text
from dbt_flow.report.card import card_document, render
from dbt_flow.run.engine import Build, Engine, Outcome
from dbt_flow.run.lock import database_lock
from dbt_flow.run.recorder import Feed, Recorder
from dbt_flow.run.watchdog import LAUNCHER_VARIABLE, Stop, Watchdog
from dbt_flow.state.durations import learn_durations, usual_durations
from dbt_flow.state.runs import NO_TARGET, RunRecord, RunRef, find_run, process_mark

_BACKOFF_FIRST, _BACKOFF_MOST = 5.0, 300.0  # seconds before the second attempt, and at the most


@dataclass(frozen=True)
class Task:
    """Who this task is, in Metaflow's words."""

    flow: str
    run: str
    """Metaflow's run id."""
    pathspec: str
    attempt: int = 0
    origin: str | None = None
    """The run id that ``resume`` resumes."""
    trigger: str = "by hand"


@dataclass(frozen=True)
class Told:
    """What the step keeps as Metaflow artifacts."""

    result: RunResult
    document: Mapping[str, Any]

    @property
    def summary(self) -> dict[str, Any]:
        """The result, small: every node's status and no text of dbt's."""
        result = self.result
        return {
            "dag": result.dag,
            "run": result.run,
            "status": result.status,
            "reason": result.reason,
            "target": result.target,
            "seconds": result.seconds,
            "counts": result.counts,
            "nodes": {node.id: node.status for node in result.nodes},
        }


def execute(config: Mapping[str, Any], parameters: Mapping[str, Any], task: Task) -> Told:
    """Run one attempt to its end, however it ends, and settle the run when no attempt is left.

    It does not return when the run must stop (a signal, the timeout, a dead launcher): the attempt is then recorded and the
    process left from another thread.
    """
    return _Attempt(Job.from_dict(config), dict(parameters), task).run()


@dataclass
class _Attempt:
    """The state of one attempt; its methods in the order in which they happen."""

    job: Job
    parameters: dict[str, Any]
    task: Task
    prepared: Prepared | None = None
    decisions: tuple[Decision, ...] = ()
    carried: dict[str, NodeResult] = field(default_factory=dict)
    """Good results that are not made again: of this run's earlier attempts, and of the run that it follows."""
    run_results: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.feed = Feed.from_environment()
        self.recorder = Recorder(self.task.attempt, self.feed)
        self.engine = Engine(self.recorder)
        self.started = utc_text()
        self.ending = threading.Lock()
        # A further attempt goes on in the record of the first, whatever it finds out about the target.
        before = find_run(self.job.store, self.job.dag.name, self.task.run) if self.task.attempt else None
        self.ref = before or RunRef(self.job.target or NO_TARGET, self.job.dag.name, self.task.run)
        self.record = RunRecord(self.job.store, self.ref)
        self.cards = CardStore()
        self.live = LiveCard(self._live_card)
        self.target_path: Path | None = None

    # ---- the story

    def run(self) -> Told:
        timeout = self.job.dag.timeout.seconds if self.job.dag.timeout else None
        self.feed.tell("attempt", run=self._pathspec, number=self.task.attempt, pid=os.getpid(), task=self.task.pathspec)
        with Watchdog(timeout, self._stop):
            ending = self._build()
            if not self.ending.acquire(blocking=False):
                _wait_for_the_end()
            return self._settle(ending)

    def _build(self) -> Ending:
        try:
            self._still_open()
            today = datetime.now(ZoneInfo(self.job.dag.timezone)).date()
            self.parameters = dict(self.job.dag.parameters(self.parameters, today))
            self._back_off()
            with ExitStack() as stack:
                self.target_path = stack.enter_context(target_folder(self.job))
                self.prepared = prepared = self._prepare(self.target_path)
                self._open_record(prepared)
                stack.enter_context(self.live)
                if not self._to_run():
                    return Ending()
                who = f"{self._pathspec} ({self.job.dag.owner})"
                database = prepared.parsed.target.path
                stack.enter_context(database_lock(Path(database) if database else None, who, self._phase))
                with_missing = with_upstream(prepared, self._phase) if self.job.options.upstream else prepared
                if with_missing is not prepared:
                    self.prepared = prepared = with_missing
                    self._open_record(prepared)
                outcome = self.engine.build(self._order(prepared))
                return self._ended(prepared, outcome)
        except DbtFlowError as error:
            return Ending(error)
        except Exception as error:  # a bug: the run fails with what it knew, and the traceback stands in the task's log
            traceback.print_exc()
            return Ending(complaint=f"a bug in dbt-flow, told in full in the task's log: {type(error).__name__}: {error}")

    def _still_open(self) -> None:
        """A run that has been settled stays as it is told: somebody stopped it, or gave it up for dead.

        :raises RunCancelled: it has.
        """
        if self.task.attempt and self.record.result() is not None:
            raise RunCancelled("run-cancelled", f"{self._pathspec} has ended before this attempt began")

    def _prepare(self, target_path: Path) -> Prepared:
        prepared = prepare(self.job, target_path, self._phase)
        self.versions = {**prepared.parsed.versions, "dbt-flow": __version__, "metaflow": version("metaflow")}
        return prepared

    def _open_record(self, prepared: Prepared) -> None:
        """From here on nothing that happens is lost: the plan and the attempt's log are written."""
        plan = prepared.plan
        self.ref = replace(self.ref, target=plan.target)
        self.record = RunRecord(self.job.store, self.ref)
        follows = self._carry(plan)
        self.decisions = decide(plan, frozenset(self.carried), follows, why=why(self.job.dag))
        self.record.put("plan.json", plan.to_dict())
        self.record.put(f"decisions-{self.task.attempt}.json", [decision.to_dict() for decision in self.decisions])
        self.record.begin_attempt(self.task.attempt, self._facts())
        self._keep_manifest(prepared)
        to_run = self._to_run()
        self.carried = {node: result for node, result in self.carried.items() if node not in to_run}
        self.recorder.watch(to_run, self.record)
        self.feed.tell(
            "plan",
            run=self._pathspec,
            target=plan.target,
            nodes=[[node.id, node.name, node.type] for node in plan.nodes if node.id in to_run],
            carried=len(self.carried),
        )

    def _order(self, prepared: Prepared) -> Build:
        job, parsed = self.job, prepared.parsed
        chosen = job.dag.selection
        selection = [*_flag("--select", chosen.select), *_flag("--exclude", chosen.exclude)]
        selection += ["--selector", chosen.selector] if chosen.selector else []
        to_run = self._to_run()
        inlined = frozenset(node.id for node in prepared.plan.inlined)
        defer = deferred(job, parsed, self._phase) if job.options.defer_to else ()
        values = {**job.dag.vars, **self.parameters}
        self._phase("building")
        return Build(
            manifest=parsed.manifest,
            arguments=(*parsed.arguments(), *defer),
            selection=tuple(selection),
            nodes=to_run | inlined,
            whole=len(to_run) == len(prepared.plan.nodes) and not job.options.upstream,
            vars=values if self.parameters else {},
            folder=parsed.project.folder,
            graph=parsed.graph,
            ranks=ranks(prepared.plan, _expected(prepared.plan, usual_durations(job.store, prepared.plan.target))),
        )

    def _ended(self, prepared: Prepared, outcome: Outcome) -> Ending:
        self.run_results = outcome.run_results
        for surprise in outcome.surprises:
            print(f"dbt-flow: {surprise}", file=sys.stderr)
        if outcome.error is not None:
            return Ending(refusal(outcome.error, prepared.parsed.project, code="warehouse"))
        explain_missing(self.job, prepared, self.recorder)
        if outcome.ok:
            return Ending()
        results, _ = self.recorder.snapshot()
        if all(results[node].good for node in self._to_run() if node in results):
            hooks = [f"{hook.id.split('.')[-1]}: {hook.message}" for hook in self.recorder.hooks.values() if not hook.good]
            return Ending(complaint="; ".join(hooks) or "dbt says that the build failed, and every node is good")
        return Ending()

    # ---- ends

    def _settle(self, ending: Ending) -> Told:
        """The attempt's end: what it leaves for the next attempt, or, when it is the last, the run's result and card."""
        self.live.close()
        plan = self.prepared.plan if self.prepared else self._plan_before()
        if plan is not None:
            learn_durations(self.job.store, plan.target, self.recorder.snapshot()[0].values())
        if self.recorder.trouble is not None and ending.error is None:
            ending = Ending(self.recorder.trouble)
        results, running = self.recorder.snapshot()
        nodes = complete(plan, {**self.carried, **results}, running, ending) if plan else ()
        result = judge(self._blank(), plan, nodes, ending)
        last = self.task.attempt >= self.job.dag.retries or result.status == SUCCESS or ending.final
        try:
            if self.prepared is None:
                self.record.begin_attempt(self.task.attempt, {**self._facts(), "refused": result.reason})
            if last:
                self.record.settle(result)
            keep_run_results(self.record, self.run_results, result)
        except DbtFlowError as error:
            result = replace(result, status="failed", error=error.to_dict(), reason=error.message)
        finally:
            extra = card_extra(self.job.store, result, self._facts())
            document = tell(Sink(self.record, self.task.pathspec, self.cards), plan, result, extra)
            self.feed.tell(
                "result", final=last, status=result.status, error=result.error, reason=result.reason, target=self.ref.target
            )
        return Told(result, document)

    def _stop(self, stop: Stop) -> None:
        """Called from the watchdog's thread: end dbt, record, leave. A run that is already settling goes its way."""
        if not self.ending.acquire(blocking=False):
            return
        if stop.code == "launcher-gone":
            _speak_to_nobody()
        self._phase(f"stopping: {stop.reason}")
        self.engine.stop()
        kind = RunCancelled if stop.code == "run-cancelled" else RunFailed
        try:
            self._settle(Ending(kind(stop.code, stop.reason)))
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            if self.target_path is not None:
                shutil.rmtree(self.target_path, ignore_errors=True)
            os._exit(METAFLOW_EXIT_DISALLOW_RETRY if kind is RunCancelled else 1)

    def _keep_manifest(self, prepared: Prepared) -> None:
        """Kept before anything is built, so that a run that dies has it; once, however many runs share it."""
        parsed = prepared.parsed
        key = f"manifests/{parsed.manifest_digest}.json"
        if self.job.store.get(key) is None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "manifest.json"
                parsed.manifest.write(str(file))
                self.job.store.put(key, file.read_bytes())
        self.record.put("artifacts.json", {"manifest": parsed.manifest_digest})

    # ---- parts

    @property
    def _pathspec(self) -> str:
        return f"{self.task.flow}/{self.task.run}"

    def _to_run(self) -> frozenset[str]:
        return frozenset(decision.id for decision in self.decisions if decision.decision == "run")

    def _plan_before(self) -> Plan | None:
        """The plan of an earlier attempt, for one that was refused before it had its own."""
        document = self.record.get("plan.json") if self.task.attempt else None
        if document is None:
            return None
        plan = Plan.from_dict(document)
        for attempt in self.record.attempts():
            self.carried.update({result.id: result for result in attempt.results})
        return plan

    def _carry(self, plan: Plan) -> str | None:
        """Find the good results that need not be made again; gives the run that this one follows, in its own words."""
        planned = {node.id for node in plan.nodes}
        follows = None
        if self.task.origin:
            origin = find_run(self.job.store, self.job.dag.name, self.task.origin)
            if origin is not None and origin.target == plan.target:
                follows = f"{self.task.flow}/{origin.number}"
                for result in _good_results(RunRecord(self.job.store, origin)):
                    why = f"{result.status} in {follows}"
                    self.carried[result.id] = replace(
                        result, status=REUSED, reason=why, seconds=0.0, started=None, finished=None
                    )
        for attempt in self.record.attempts():
            if attempt.number < self.task.attempt:
                self.carried.update({result.id: result for result in attempt.results if result.good})
        self.carried = {node: result for node, result in self.carried.items() if node in planned}
        return follows or (self._pathspec if self.carried else None)

    def _back_off(self) -> None:
        """Wait before a further attempt, longer each time; a refusal will not go away by waiting."""
        if self.task.attempt == 0:
            return
        before = self._earlier_refused()
        seconds = 0.0 if before else min(_BACKOFF_FIRST * 2 ** (self.task.attempt - 1), _BACKOFF_MOST)
        self._phase(f"attempt {self.task.attempt + 1} of {self.job.dag.retries + 1} begins in {seconds:g} s")
        time.sleep(seconds)

    def _earlier_refused(self) -> bool:
        ref = find_run(self.job.store, self.job.dag.name, self.task.run)
        attempts = RunRecord(self.job.store, ref).attempts() if ref else ()
        return bool(attempts) and "refused" in attempts[-1].header

    def _facts(self) -> dict[str, Any]:
        """What the attempt's log says of the attempt, enough to settle it from outside."""
        dag = self.job.dag
        return {
            "flow": self.task.flow,
            "run": self._pathspec,
            "task": self.task.pathspec,
            "owner": dag.owner,
            "owner_contact": dict(self.job.owner_contact),
            "description": dag.description,
            "trigger": self.job.options.trigger or self.task.trigger,
            "parameters": {name: str(value) for name, value in self.parameters.items()},
            "follows": f"{self.task.flow}/{self.task.origin}" if self.task.origin else None,
            "versions": self.versions,
            "cards": self.cards.facts,
            "launcher": process_mark(int(os.environ.get(LAUNCHER_VARIABLE) or 0)),
        }

    def _blank(self) -> RunResult:
        facts = self._facts()
        earlier = self.record.attempts() if self.task.attempt else ()
        return RunResult(
            dag=self.job.dag.name,
            flow=self.task.flow,
            run=self._pathspec,
            status=RUNNING,
            reason="",
            target=self.ref.target,
            started=str(earlier[0].header.get("started", self.started)) if earlier else self.started,
            owner=self.job.dag.owner,
            trigger=facts["trigger"],
            attempt=self.task.attempt,
            follows=facts["follows"],
            parameters=facts["parameters"],
            versions=self.versions,
        )

    def _phase(self, text: str) -> None:
        with suppress(OSError, ValueError):  # whoever listened may be gone
            print(f"{utc_text()} {text}", flush=True)
        self.feed.tell("phase", text=text)

    def _live_card(self) -> None:
        try:
            plan = self.prepared.plan if self.prepared else None
            results, running = self.recorder.snapshot()
            known = {**self.carried, **results}
            nodes = tuple(known[node.id] for node in plan.nodes if node.id in known) if plan else ()
            blank = replace(self._blank(), nodes=nodes)
            extra = replace(card_extra(self.job.store, blank, self._facts()), live=True, running=tuple(running.items()))
            html = render(card_document(plan, blank, extra))
            Sink(self.record, self.task.pathspec, self.cards).put(html)
        except Exception as error:  # telling never breaks doing
            print(f"dbt-flow: no live card: {error!r}", file=sys.stderr)


def _good_results(record: RunRecord) -> list[NodeResult]:
    """The good results of a run, settled or not."""
    found = {result.id: result for attempt in record.attempts() for result in attempt.results}
    settled = record.result()
    if settled is not None:
        found.update({result.id: result for result in settled.nodes})
    return [result for result in found.values() if result.good]


def _expected(plan: Plan, known: Mapping[str, float]) -> dict[str, float]:
    """Seconds for every planned node: what it usually takes, else what such nodes take here, else a guess."""
    guess = {True: 0.1, False: 1.0}
    for is_test in (True, False):
        times = [known[node.id] for node in plan.nodes if node.is_test is is_test and node.id in known]
        guess[is_test] = sum(times) / len(times) if times else guess[is_test]
    return {node.id: known.get(node.id, guess[node.is_test]) for node in plan.nodes}


def _speak_to_nobody() -> None:
    """The pipes that a dead launcher read break whoever writes to them."""
    with suppress(OSError):
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, 1)
        os.dup2(nobody, 2)


def _flag(name: str, words: tuple[str, ...]) -> list[str]:
    return [name, *words] if words else []


def _wait_for_the_end() -> NoReturn:
    """The watchdog's thread has the word: it records the attempt and leaves the process."""
    while True:
        time.sleep(60)
