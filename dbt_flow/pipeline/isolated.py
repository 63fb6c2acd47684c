"""``build_step()``: one step of a run of several, inside its Metaflow task.

Each step builds its own nodes, or none: what it waits for is read from the run's record, to which every step appends a log of
its own. A step that fails says so to Metaflow while it has attempts left; on its last it leaves its results and the run goes
on, as dbt goes on with what does not depend on them. The last step settles the run.

dbt is loaded only where there is something to build (:mod:`.calling`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dbt_flow.errors import DbtFlowError, RunCancelled
from dbt_flow.pipeline.attempt import Attempt, Task, Told
from dbt_flow.pipeline.isolation import ON_END, ON_START, Compiled, Isolation, arrows
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.live import LiveCard
from dbt_flow.pipeline.opening import NAME as OPENED
from dbt_flow.pipeline.opening import open_run, refusal_in
from dbt_flow.pipeline.settle import Ending, Sink, complete, judge
from dbt_flow.pipeline.softened import told_softened
from dbt_flow.pipeline.step_costs import learn_costs
from dbt_flow.plan.planned import Plan
from dbt_flow.plan.reuse import withheld
from dbt_flow.plan.waves import END, ISOLATED, START, FlowStep
from dbt_flow.records import CANCELLED, SKIPPED, SUCCESS, NodeResult, utc_moment, utc_text
from dbt_flow.report.artifacts import joined_run_results
from dbt_flow.report.metrics import usage
from dbt_flow.state.durations import learn_durations
from dbt_flow.state.runs import RunRecord, RunRef

_FIRST_LIVE_CARD = 5.0  # seconds that an isolated step may take before it makes cards: most take less, and cards cost


@dataclass(frozen=True)
class Left:
    """How a step's attempt ended."""

    again: bool
    """Whether Metaflow is to try again, or to give the run up."""
    reason: str = ""
    told: Told | None = None
    """Of the last step, when it has settled the run."""


def build_step(name: str, config: Mapping[str, Any], parameters: Mapping[str, Any], task: Task) -> Left:
    """Run one attempt of a step to its end, however it ends.

    It does not return when the run must stop, as :func:`dbt_flow.pipeline.execute.execute`.
    """
    shape: Isolation = config["isolation"]
    step = shape.step(name)
    kind = _Last if step.name == END else StepAttempt
    return kind(Job.from_dict(config), dict(parameters), task, shape=shape, step=step).run()


@dataclass
class StepAttempt(Attempt[Left]):
    """An attempt of a step."""

    shape: Isolation = field(kw_only=True)
    step: FlowStep = field(kw_only=True)
    nodes: tuple[str, ...] = ()
    """What it is there to build, in the order in which that runs."""
    to_run: frozenset[str] = frozenset()
    """What of it runs in this attempt."""

    @property
    def _step_name(self) -> str:
        return self.step.name

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ref = RunRef(self.shape.target, self.job.dag.name, self.task.run)
        self.record = RunRecord(self.job.store, self.ref, self.step.name)
        self.compiled = Compiled(self.job.store, self.shape.key)
        self.versions = dict(self.shape.versions)
        self.begun = False
        self.halts = False
        self.unchanged: frozenset[str] = frozenset()
        self.hooked = True
        self.refused: DbtFlowError | None = None
        self.dbt_seconds = self.start_seconds = 0.0
        if self.step.kind == ISOLATED:
            self.live = LiveCard(self._live_card, _FIRST_LIVE_CARD)

    # ---- the story

    def _build(self) -> Ending:
        if self.record.result() is not None:
            raise RunCancelled("run-cancelled", f"{self._pathspec} has ended before this attempt began")
        self._open()
        self.begun = True
        known = self._results()
        self.nodes = self._mine(known)
        self.recorder.watch(frozenset(self.nodes), self.record)
        self.to_run = self._sort_out(known)
        hooks = self._hooks()
        if not self.to_run and not hooks:
            self._say_why_not()
            return Ending()
        self._back_off()
        began = time.process_time()
        from dbt_flow.pipeline.calling import Call, call_dbt  # noqa: PLC0415 - here a step begins to cost dbt's import

        called = call_dbt(Call(self, self.to_run, hooks, known))
        self.dbt_seconds, self.start_seconds = time.process_time() - began, called.ready - began
        self.run_results, self.halts = called.run_results, called.halts
        return called.ending

    def _open(self) -> None:
        """What holds for all steps of the run: said by the first of them that comes here, read by the others."""
        opened = self.record.get(OPENED)
        if opened is None:
            today = datetime.now(ZoneInfo(self.job.dag.timezone)).date()
            self.parameters = dict(self.job.dag.parameters(self.parameters, today))
            self.record.begin_attempt(self.task.attempt, {**self._facts(), "step": self.step.name})
            opened = open_run(self)
        else:
            self.parameters = dict(opened["parameters"])
            self.record.begin_attempt(self.task.attempt, {**self._facts(), "step": self.step.name})
        self.parameters = dict(opened["parameters"])
        self.carried = {item["id"]: NodeResult.from_dict(item) for item in opened["carried"]}
        self.unchanged = frozenset(opened["unchanged"])
        self.started = opened["started"]
        self.hooked = opened["hooks"]
        self.refused = refusal_in(opened)

    def _results(self) -> dict[str, NodeResult]:
        """What is known of the run's nodes, whichever step made it known."""
        found = dict(self.carried)
        for attempt in self.record.attempts():
            found.update({result.id: result for result in attempt.results})
        return found

    def _mine(self, known: Mapping[str, NodeResult]) -> tuple[str, ...]:  # noqa: ARG002 - the last step looks at them
        if self.step.kind == ISOLATED:
            return self.shape.nodes[self.step.name]
        return self.compiled.part(self.step.name)

    def _sort_out(self, known: Mapping[str, NodeResult]) -> frozenset[str]:
        """Which of the step's nodes run now. Those that something failed keeps from running are recorded as skipped.

        A node whose needs have no result at all is left to the last step: the code has changed since the run that this one
        resumes, and a step that would have built them was taken over from there.
        """
        mine, waits = set(self.nodes), self.waits()
        halted = any((attempt.left or {}).get("halts") for attempt in self.record.attempts())
        runs: set[str] = set()
        blocked: dict[str, tuple[str, ...]] = {}
        for node in self.nodes:
            causes: list[str] = []
            waiting = False
            for above in waits[node]:
                if above in mine:
                    causes += blocked.get(above, ())
                elif above not in known:
                    waiting = True
                elif not known[above].good:
                    causes += known[above].blocked_by if known[above].status == SKIPPED else (above,)
            if node in self.carried or waiting:
                continue
            if causes or halted:
                blocked[node] = tuple(dict.fromkeys(causes))
            elif node not in known or not known[node].good or runs.intersection(waits[node]):
                runs.add(node)
        runs |= {node for node in self.nodes if _is_test(node) and self._tested(node) in runs and node not in blocked}
        reason = "an on-run-start hook failed" if halted else ""
        for node, its in blocked.items():
            self.recorder.end(NodeResult(node, SKIPPED, blocked_by=its, reason=reason))
        return frozenset(runs - self.carried.keys())

    def waits(self) -> Mapping[str, tuple[str, ...]]:
        """What each of its nodes waits for."""
        return self.shape.waits if self.step.kind == ISOLATED else arrows(self.the_plan())

    def _tested(self, test: str) -> str | None:
        """The node whose tests are run again with it."""
        if self.step.kind == ISOLATED:
            return next((node for node in self.nodes if not _is_test(node)), None)
        return self.the_plan().by_id[test].tests

    def _hooks(self) -> frozenset[str]:
        """The hooks that it runs: each kind once for the run, and none when nothing runs."""
        if not self.hooked:
            return frozenset()
        mine = {START: ON_START, END: ON_END}.get(self.step.name)
        return frozenset(kind for kind in self.shape.hooks if kind == mine)

    def _say_why_not(self) -> None:
        """Of an isolated step that has nothing to build."""
        if self.step.kind == ISOLATED and self.nodes and self.nodes[0] in self.carried:
            known = self.carried[self.nodes[0]]
            self.phase(f"nothing is built here: {known.status}, {known.reason}")

    # ---- ends

    def _settle(self, ending: Ending) -> Left:
        """What the attempt leaves in the record: its results, how it ended. Metaflow hears of a failure while that helps."""
        self.live.close()
        ending = self._leave(ending)
        reason = self._not_good(ending)
        again = bool(reason) and self.task.attempt < self.job.dag.retries and not ending.final
        return Left(again or not self.begun, reason)

    def _leave(self, ending: Ending) -> Ending:
        if self.recorder.trouble is not None and ending.error is None:
            ending = Ending(self.recorder.trouble)
        if not self.begun:
            return ending
        self._account_for(ending)
        left = {
            "halts": self.halts,
            "error": ending.error.to_dict() if ending.error else None,
            "complaint": ending.complaint,
            "used": usage(),
            "cpu": round(time.process_time(), 2),
            "cpu_of_dbt": round(self.dbt_seconds, 2),
            "cpu_to_start": round(self.start_seconds, 2),
        }
        with suppress(DbtFlowError):
            for result in self.recorder.snapshot()[0].values():
                if result.compiled or result.sample or result.rows is not None:  # known only since dbt has ended
                    self.record.node_ended(self.task.attempt, result)
            if self.run_results is not None:
                name = f"run_results.{self.step.name}.json"
                before = self.record.get(name)
                self.record.put(name, joined_run_results([*([before] if before else ()), self.run_results]))
            self.record.step_left(self.task.attempt, left)
        return ending

    def _account_for(self, ending: Ending) -> None:
        """Where dbt was refused or stopped before it said anything of a node, that is said of the node."""
        results, running = self.recorder.snapshot()
        why = ending.error.message if ending.error else ending.complaint
        if not why:
            return
        status = CANCELLED if ending.stopped else "error"
        for node in self.nodes:
            if node in self.to_run and node not in results:
                self.recorder.end(NodeResult(node, status, message=why, started=running.get(node), reason=why))

    def _not_good(self, ending: Ending) -> str:
        """Why this attempt is not good, in words; empty when it is."""
        results, _ = self.recorder.snapshot()
        bad = [node for node in self.nodes if node in self.to_run and not (node in results and results[node].good)]
        if ending.error or ending.complaint:
            return ending.error.message if ending.error else ending.complaint
        return f"{len(bad)} of {len(self.to_run)} nodes are not good, {bad[0]} first" if bad else ""

    # ---- parts

    def the_plan(self) -> Plan:
        """The run's plan, read when it is first needed."""
        if self.plan is None:
            self.plan = self.compiled.plan()
        return self.plan

    def _timeout(self) -> float | None:
        """The DAG's timeout holds from the run's first step; a further attempt of a step has all of it."""
        whole = super()._timeout()
        opened = self.record.get("opened.json") if whole is not None and not self.task.attempt else None
        if whole is None or opened is None:
            return whole
        gone = (utc_moment(utc_text()) - utc_moment(opened["started"])).total_seconds()
        return max(whole - gone, 0.01)

    def _earlier_refused(self) -> bool:
        return False

    def phase(self, text: str) -> None:
        """Say what goes on, and in which step."""
        self._phase(f"{self.step.name}: {text}" if self.step.kind == ISOLATED else text)

    def _known(self) -> tuple[Mapping[str, NodeResult], Mapping[str, str]]:
        running: dict[str, str] = {}
        for attempt in self.record.attempts():
            running.update(attempt.running)
        return self._results(), running

    def _live_card(self) -> None:
        self.the_plan()
        super()._live_card()

    def _sink(self) -> Sink:
        return Sink(self.record)  # the run's; the last step's own is the final one


@dataclass
class _Last(StepAttempt):
    """An attempt of the last step: it also builds what others left undone, and settles the run."""

    def _mine(self, known: Mapping[str, NodeResult]) -> tuple[str, ...]:
        own = set(self.compiled.part(self.step.name))
        return tuple(node.id for node in self.the_plan().nodes if node.id in own or node.id not in known)

    def _settle(self, ending: Ending) -> Left:
        if not self.begun:  # Metaflow tries a run again that is settled, and not good because of other steps
            return super()._settle(ending)
        self.live.close()
        ending = self._leave(ending)
        own = self._not_good(ending)
        if self.refused is not None and ending.error is None:
            ending = Ending(self.refused)
        plan = self.the_plan()
        attempts = self.record.attempts()
        results = {**self._results(), **self.recorder.snapshot()[0]}
        learn_durations(self.job.store, plan.target, (r for attempt in attempts for r in attempt.results))
        learn_costs(self.job.store, [attempt.left for attempt in attempts if attempt.left])
        said = [str(a.left["complaint"]) for a in _latest(attempts) if a.left and a.left["complaint"]]
        if not ending.error and said:
            ending = Ending(complaint="; ".join(dict.fromkeys([*said, ending.complaint])).rstrip("; "))
        nodes = complete(plan, withheld(plan, results, self.unchanged), self._known()[1], ending)
        result = judge(self._blank(), plan, nodes, ending)
        last = self.task.attempt >= self.job.dag.retries or result.status == SUCCESS or ending.final or not own
        with suppress(DbtFlowError):
            parts = [self.record.get(f"run_results.{step.name}.json") for step in self.shape.steps]
            self.run_results = joined_run_results([part for part in parts if part])
        told = self._told(told_softened(self.job.dag, plan, replace(result, started=self.started)), last)
        if last and not self.shape.key.startswith("deployed-"):
            self.compiled.drop()
        return Left(told.result.status != SUCCESS, told.result.reason, told)

    def _sink(self) -> Sink:
        return Sink(self.record, self.task.pathspec, self.cards)


def _latest(attempts: Any) -> list[Any]:
    """The last attempt of each step."""
    return list({attempt.step: attempt for attempt in attempts}.values())


def _is_test(node: str) -> bool:
    return node.startswith(("test.", "unit_test."))
