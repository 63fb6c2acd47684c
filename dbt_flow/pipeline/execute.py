"""``execute()``: one attempt of a run of one step, inside its Metaflow task. It raises for nothing that dbt or the data do."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dbt_flow import __version__
from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.attempt import Attempt, Task, Told
from dbt_flow.pipeline.building import has_hooks, hooks_that_failed, keep_manifest, longest_first
from dbt_flow.pipeline.following import take_over
from dbt_flow.pipeline.fresh import require_fresh, stale_decision
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.overlap import alone
from dbt_flow.pipeline.prepare import Prepared, prepare, target_folder, why
from dbt_flow.pipeline.reusing import Judged, judge_reuse, keep_made
from dbt_flow.pipeline.settle import Ending, complete, judge
from dbt_flow.pipeline.softened import soften, told_softened
from dbt_flow.pipeline.upstream import deferred, explain_missing, with_upstream
from dbt_flow.plan.decide import decide
from dbt_flow.plan.planned import Decision, Plan
from dbt_flow.plan.reuse import withheld
from dbt_flow.project.refusals import refusal
from dbt_flow.records import SKIPPED, SUCCESS, NodeResult
from dbt_flow.report.rules import Rules
from dbt_flow.run.engine import Build, Engine, Outcome
from dbt_flow.run.hooks import Hooks
from dbt_flow.run.lock import database_lock
from dbt_flow.state.begun import note_begun
from dbt_flow.state.durations import learn_durations
from dbt_flow.state.runs import RunRecord


def execute(config: Mapping[str, Any], parameters: Mapping[str, Any], task: Task) -> Told:
    """Run one attempt to its end, however it ends, and settle the run when no attempt is left.

    It does not return when the run must stop (a signal, the timeout, a dead launcher): the attempt is then recorded and the
    process left from another thread.
    """
    return _Whole(Job.from_dict(config), dict(parameters), task).run()


@dataclass
class _Whole(Attempt[Told]):
    """An attempt of a run whose one step builds everything."""

    prepared: Prepared | None = None
    decisions: tuple[Decision, ...] = ()
    judged: Judged | None = None
    """With ``reuse``: what holds already."""

    # ---- the story

    def _build(self) -> Ending:
        self._still_open()
        self._note_begun()
        today = datetime.now(ZoneInfo(self.job.dag.timezone)).date()
        self.parameters = dict(self.job.dag.parameters(self.parameters, today))
        self._back_off()
        with ExitStack() as stack:
            self.target_path = stack.enter_context(target_folder(self.job))
            prepared = self._prepare(self.target_path)
            self._open_record(prepared)
            stack.enter_context(self.live)
            if not self._to_run():
                return Ending()
            who = f"{self._pathspec} ({self.job.dag.owner})"
            self._require_fresh(prepared, who)
            database = prepared.parsed.target.path
            stack.enter_context(database_lock(Path(database) if database else None, who, self._phase))
            if self.carried:  # while this waited for the database, another run may have built what was good
                self._decide(prepared.plan)
                self._announce(prepared.plan)
            with_missing = with_upstream(prepared, self._phase) if self.job.options.upstream else prepared
            if with_missing is not prepared:
                prepared = with_missing
                self._open_record(prepared)
            self._reuse(prepared)
            if not self._to_run() and not has_hooks(prepared.parsed):
                return Ending()
            self.engine = Engine(self.recorder)
            outcome = self.engine.build(self._order(prepared))
            if self.judged is not None:
                keep_made(self.judged, self._to_run(), self.recorder.snapshot()[0], self._pathspec)
            return self._ended(prepared, outcome)

    def _note_begun(self) -> None:
        """Until dbt has parsed there is no record; what dies before that is known by this."""
        if self.task.attempt == 0:
            with suppress(DbtFlowError):  # a state folder that cannot be written is told by what must be written
                note_begun(self.job.store, self.job.dag.name, self._pathspec, self._facts())

    def _prepare(self, target_path: Path) -> Prepared:
        prepared = prepare(self.job, target_path, self._phase)
        self.versions = {**prepared.parsed.versions, "dbt-flow": __version__, "metaflow": version("metaflow")}
        return prepared

    def _open_record(self, prepared: Prepared) -> None:
        """From here on nothing that happens is lost: the plan and the attempt's log are written."""
        self.prepared = prepared
        self.plan = plan = prepared.plan
        self.ref = replace(self.ref, target=plan.target)
        self.record = RunRecord(self.job.store, self.ref)
        self._decide(plan)
        self.record.put("plan.json", plan.to_dict())
        self.record.begin_attempt(self.task.attempt, self._facts())
        made = {"manifest": keep_manifest(self.job.store, prepared.parsed), "database": prepared.parsed.target.path}
        self.record.put("artifacts.json", made)
        self._announce(plan)

    def _decide(self, plan: Plan) -> None:
        """What is good already, of the run that this one follows or of its own earlier attempts, is not made again."""
        earlier = [attempt.results for attempt in self.record.attempts() if attempt.number < self.task.attempt]
        before = take_over(self.job.store, plan, self.task, (result for results in earlier for result in results))
        self.carried = dict(before.good)
        self.decisions = decide(
            plan, frozenset(before.good), before.follows, why=why(self.job.dag), before=before.bad, overtaken=before.overtaken
        )

    def _announce(self, plan: Plan) -> None:
        """Record and tell what is decided."""
        self.record.put(f"decisions-{self.task.attempt}.json", [decision.to_dict() for decision in self.decisions])
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

    def _require_fresh(self, prepared: Prepared, who: str) -> None:
        try:
            alone(self.job.dag, self.record)
            require_fresh(prepared, self.record, who, self._phase)
        except DbtFlowError as error:
            why_not = stale_decision(error)
            if why_not:
                self.carried |= {node: NodeResult(node, SKIPPED, reason=why_not) for node in self._to_run()}
                self.decisions = tuple(
                    replace(each, decision="skip", reason=why_not) if each.decision == "run" else each
                    for each in self.decisions
                )
                self._announce(prepared.plan)
            raise

    def _reuse(self, prepared: Prepared) -> None:
        """Leave out what holds already, where the DAG says ``reuse: unchanged``."""
        if self.job.dag.reuse != "unchanged":
            return
        self.judged = judge_reuse(prepared, self.decisions, {**self.job.dag.vars, **self.parameters}, self._phase)
        self.decisions = self.judged.decisions
        self.carried |= self.judged.results()
        self._announce(prepared.plan)

    def _order(self, prepared: Prepared) -> Build:
        job, parsed = self.job, prepared.parsed
        chosen = job.dag.selection
        selector = (chosen.selector,) if chosen.selector else ()
        flags = (("--select", chosen.select), ("--exclude", chosen.exclude), ("--selector", selector))
        selection = [word for flag, words in flags if words for word in (flag, *words)]
        to_run = self._to_run()
        inlined = frozenset(node.id for node in prepared.plan.inlined)
        defer = deferred(job, parsed, self._phase) if job.options.defer_to else ()
        values = {**job.dag.vars, **self.parameters}
        soften(job.dag, prepared.plan, parsed)
        self._phase("building")
        return Build(
            manifest=parsed.manifest,
            sample_rows=job.sample_rows,
            arguments=(*parsed.arguments(), *defer, *job.options.build_flags),
            selection=tuple(selection),
            nodes=to_run | inlined if to_run else frozenset(),
            whole=len(to_run) == len(prepared.plan.nodes) and not job.options.upstream and not job.dag.tests.exclude,
            hooks=None if to_run else Hooks(),
            vars=values if self.parameters else {},
            folder=parsed.project.folder,
            graph=parsed.graph,
            ranks=longest_first(job.store, prepared.plan),
            label={"dag": job.dag.name, "run": self._pathspec},
            query_page=Rules.from_dict(job.telling).query_page(prepared.plan.target, self.task.flow, self.task.run),
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
            return Ending(
                complaint=hooks_that_failed(self.recorder) or "dbt says that the build failed, and every node is good"
            )
        return Ending()

    # ---- ends

    def _settle(self, ending: Ending) -> Told:
        """The attempt's end: what it leaves for the next attempt, or, when it is the last, the run's result and card."""
        self.live.close()
        plan = self.plan = self.plan or self._plan_before()
        if plan is not None:
            learn_durations(self.job.store, plan.target, self.recorder.snapshot()[0].values())
        if self.recorder.trouble is not None and ending.error is None:
            ending = Ending(self.recorder.trouble)
        results, running = self.recorder.snapshot()
        known = {**self.carried, **results}
        if plan is not None and self.judged is not None:
            known = withheld(plan, known, self.judged.reused)
        nodes = complete(plan, known, running, ending) if plan else ()
        result = judge(self._blank(), plan, nodes, ending)
        last = self.task.attempt >= self.job.dag.retries or result.status == SUCCESS or ending.final
        return self._told(told_softened(self.job.dag, plan, result), last, refused=self.prepared is None)

    # ---- parts

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
