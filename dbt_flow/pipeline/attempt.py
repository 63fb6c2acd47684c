"""One attempt of a Metaflow task: who it is, what its log says of it, how it is watched over and stopped, its live card.

What is built and how it ends is the business of :mod:`.execute` (a run of one step) and :mod:`.isolated` (a run of several).
Nothing of dbt is loaded here: a step that has nothing to build ends without it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from metaflow.exception import METAFLOW_EXIT_DISALLOW_RETRY

from dbt_flow.errors import DbtFlowError, RunCancelled, RunFailed
from dbt_flow.metaflow_seam import CardStore
from dbt_flow.pipeline.job import PRINT_METRICS, REPEATED, Job
from dbt_flow.pipeline.live import LiveCard
from dbt_flow.pipeline.receipt import MISSING_VARIABLE, keep_receipt, revision_of
from dbt_flow.pipeline.settle import Ending, Sink, card_extra, keep_run_results, tell
from dbt_flow.pipeline.unheard import settle_unheard
from dbt_flow.plan.planned import Plan
from dbt_flow.records import FAILED, RUNNING, NodeResult, RunResult, utc_text
from dbt_flow.report.card import card_document, render
from dbt_flow.report.lateness import DeadlineWatch
from dbt_flow.report.news_kept import remember_rules
from dbt_flow.report.rules import Rules
from dbt_flow.report.sender import FAR_VARIABLE
from dbt_flow.report.telling import tell_others
from dbt_flow.run.recorder import Feed, Recorder
from dbt_flow.run.watchdog import LAUNCHER_VARIABLE, Stop, Watchdog
from dbt_flow.state.runs import NO_TARGET, RunRecord, RunRef, find_run, process_mark
from dbt_flow.state.signs import Heart

if TYPE_CHECKING:
    from dbt_flow.run.engine import Engine

_BACKOFF_FIRST, _BACKOFF_MOST = 5.0, 300.0  # seconds before the second attempt, and at the most

T = TypeVar("T")


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
    whole: bool = True
    """Whether the task does nothing else; an ML flow's step goes on when what it builds is settled."""


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


@dataclass
class Attempt(ABC, Generic[T]):
    """The state of one attempt; its methods in the order in which they happen."""

    job: Job
    parameters: dict[str, Any]
    task: Task
    plan: Plan | None = None
    carried: dict[str, NodeResult] = field(default_factory=dict)
    """Results that are not made again: of this run's earlier attempts, and of the run that it follows."""
    run_results: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.feed = Feed.from_environment()
        self.recorder = Recorder(self.task.attempt, self.feed)
        self.engine: Engine | None = None
        self.started = utc_text()
        self.ending = threading.Lock()
        # A further attempt goes on in the record of the first, whatever it finds out about the target.
        before = find_run(self.job.store, self.job.dag.name, self.task.run) if self.task.attempt else None
        self.ref = before or RunRef(self.job.target or NO_TARGET, self.job.dag.name, self.task.run)
        self.record = RunRecord(self.job.store, self.ref)
        self.cards = CardStore()
        self.live = LiveCard(self._live_card)
        name = ".".join(filter(None, (str(self.task.attempt), self._step_name)))
        self.heart = Heart(self.job.store, f"{self.job.dag.name}/{self.task.run}/{name}", self._sign)
        self.deadline = DeadlineWatch(self.job.store, Rules.from_dict(self.job.telling), self.started)
        self.target_path: Path | None = None

    # ---- the story

    def run(self) -> T:
        """From the attempt's first word to what it leaves; it does not return when it is stopped."""
        self.feed.tell("attempt", run=self._pathspec, number=self.task.attempt, pid=os.getpid(), task=self.task.pathspec)
        self.heart.start()
        with suppress(DbtFlowError):  # a state folder that cannot be written is told by what must be written
            remember_rules(self.job.store, self.job.dag.name, self.job.telling)
            if os.environ.get(FAR_VARIABLE):  # no launcher looks after the runs before this one
                settle_unheard(self.job.store, self.job.dag.name)
        with Watchdog(self._timeout(), self._stop) as watchdog:
            ending = self._guarded()
            if not self.ending.acquire(blocking=False):
                _wait_for_the_end()
            left = self._leave_with(ending)
            watchdog.over = self.task.whole  # a signal while Metaflow saves must not undo what was recorded and told
            return left

    def _guarded(self) -> Ending:
        try:
            return self._build()
        except DbtFlowError as error:
            return Ending(error)
        except Exception as error:  # a bug: the run fails with what it knew, and the traceback stands in the task's log
            traceback.print_exc()
            return Ending(complaint=f"a bug in dbt-flow, told in full in the task's log: {type(error).__name__}: {error}")

    @abstractmethod
    def _build(self) -> Ending:
        """Build what there is to build."""

    @abstractmethod
    def _settle(self, ending: Ending) -> T:
        """What the attempt leaves."""

    def _timeout(self) -> float | None:
        return self.job.dag.timeout.seconds if self.job.dag.timeout else None

    def _still_open(self) -> None:
        """A run that has been settled stays as it is told: somebody stopped it, or gave it up for dead.

        :raises RunCancelled: it has.
        """
        if self.task.attempt and self.record.result() is not None:
            raise RunCancelled("run-cancelled", f"{self._pathspec} has ended before this attempt began")

    def _stop(self, stop: Stop) -> None:
        """Called from the watchdog's thread: end dbt, record, leave. A run that is already settling goes its way."""
        if not self.ending.acquire(blocking=False):
            return
        if stop.code == "launcher-gone":
            _speak_to_nobody()
        self._phase(f"stopping: {stop.reason}")
        if self.engine is not None:
            self.engine.stop()
        kind = RunCancelled if stop.code == "run-cancelled" else RunFailed
        try:
            self._leave_with(Ending(kind(stop.code, stop.reason)))
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            if self.target_path is not None:
                shutil.rmtree(self.target_path, ignore_errors=True)
            os._exit(METAFLOW_EXIT_DISALLOW_RETRY if kind is RunCancelled else 1)

    # ---- parts

    def _leave_with(self, ending: Ending) -> T:
        self.heart.stop()
        try:
            return self._settle(ending)
        finally:
            self._flush()
            self.heart.left()

    @property
    def _step_name(self) -> str:
        """Of a step of its own, in a run of several."""
        return ""

    def _sign(self) -> dict[str, Any]:
        """Who it is, for whoever must settle the run when this machine has gone."""
        own = {"host": socket.gethostname(), "started": self.started, "more": self.task.attempt < self.job.dag.retries}
        return {**self._facts(), **own}

    def _flush(self) -> None:
        """What the log's lines say is kept before the process leaves, by whichever way."""
        try:
            self.job.store.flush()
        except DbtFlowError as error:
            print(f"dbt-flow: {error}", file=sys.stderr)

    @property
    def _pathspec(self) -> str:
        return f"{self.task.flow}/{self.task.run}"

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
            "options": {name: said for name in REPEATED if (said := getattr(self.job.options, name))},
            "versions": self.versions,
            "cards": self.cards.facts,
            "telling": self.job.telling,
            "launcher": process_mark(int(os.environ.get(LAUNCHER_VARIABLE) or 0)),
            "git": revision_of(self.job.dbt_project),
            "project": os.path.relpath(self.job.dbt_project, self.job.root),
            "profiles": os.path.relpath(self.job.profiles_dir, self.job.dbt_project) if self.job.profiles_dir else None,
            "missing": json.loads(os.environ.get(MISSING_VARIABLE) or "[]"),
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

    def _told(self, result: RunResult, last: bool, *, refused: bool = False) -> Told:
        """Keep a result, settle the run with it when no attempt is left, and tell all who are to know."""
        try:
            if refused:
                self.record.begin_attempt(self.task.attempt, {**self._facts(), "refused": result.reason})
            if last:
                self.record.settle(result)
            keep_run_results(self.record, self.run_results, result)
            if last:
                keep_receipt(self.record)
        except DbtFlowError as error:
            result = replace(result, status=FAILED, error=error.to_dict(), reason=error.message)
        finally:
            extra = card_extra(self.job.store, result, self._facts())
            document = tell(self._sink(), self.plan, result, extra)
            if last:
                tell_others(self.record, self.plan, result, self._facts(), hear=self._metric(), own=True)
            self.feed.tell(
                "result", final=last, status=result.status, error=result.error, reason=result.reason, target=self.ref.target
            )
        return Told(result, document)

    def _sink(self) -> Sink:
        """Where its card goes."""
        return Sink(self.record, self.task.pathspec, self.cards)

    def _metric(self) -> Callable[[str], None] | None:
        """Who hears each metric that is sent, with ``--print-metrics``."""
        if not os.environ.get(PRINT_METRICS):
            return None
        return lambda line: self.feed.tell("metric", line=line)

    def _known(self) -> tuple[Mapping[str, NodeResult], Mapping[str, str]]:
        """Results of the run as they are now, and what is being built."""
        results, running = self.recorder.snapshot()
        return {**self.carried, **results}, running

    def _live_card(self) -> None:
        try:
            plan = self.plan
            known, running = self._known()
            nodes = tuple(known[node.id] for node in plan.nodes if node.id in known) if plan else ()
            blank = replace(self._blank(), nodes=nodes)
            late = self.deadline.look(self.record, plan, blank, nodes, running)
            if late:
                self._phase(late)
            extra = replace(card_extra(self.job.store, blank, self._facts(), plan), live=True, running=tuple(running.items()))
            html = render(card_document(plan, blank, extra))
            self._sink().put(html)
        except Exception as error:  # telling never breaks doing
            print(f"dbt-flow: no live card: {error!r}", file=sys.stderr)


def _speak_to_nobody() -> None:
    """The pipes that a dead launcher read break whoever writes to them."""
    with suppress(OSError):
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, 1)
        os.dup2(nobody, 2)


def _wait_for_the_end() -> NoReturn:
    """The watchdog's thread has the word: it records the attempt and leaves the process."""
    while True:
        time.sleep(60)
