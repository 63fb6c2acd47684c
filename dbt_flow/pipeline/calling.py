"""One call of dbt for one step of a run of several: its nodes and no others, from the stored manifest, its turn awaited."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt_flow.pipeline.building import hooks_that_failed, longest_first
from dbt_flow.pipeline.deciding import Evidence, hint_at_missing
from dbt_flow.pipeline.prepare import target_folder
from dbt_flow.pipeline.settle import Ending
from dbt_flow.plan.waves import ISOLATED
from dbt_flow.project.parse_cache import moved
from dbt_flow.project.parsing import dbt_flags
from dbt_flow.project.place import DbtProject
from dbt_flow.project.refusals import refusal
from dbt_flow.project.seams.contents import unpacked
from dbt_flow.records import NodeResult
from dbt_flow.report.rules import Rules
from dbt_flow.run.engine import Build, Engine, Outcome
from dbt_flow.run.hooks import Hooks
from dbt_flow.run.lock import database_lock

if TYPE_CHECKING:
    from dbt_flow.pipeline.isolated import StepAttempt


@dataclass(frozen=True)
class Call:
    """What a step wants of dbt."""

    step: StepAttempt
    nodes: frozenset[str]
    hooks: frozenset[str]
    known: Mapping[str, NodeResult]
    """Results of the run's other steps, for ``on-run-end``."""


@dataclass(frozen=True)
class Called:
    """What became of it."""

    ending: Ending
    run_results: dict[str, Any] | None
    ready: float
    """The process's CPU seconds when dbt was there and its turn had not come."""
    halts: bool
    """Nothing further is to be built in this run: ``on-run-start`` failed, and the project says so."""


def call_dbt(call: Call) -> Called:
    """Wait for the database, then build. What dbt and the data do is in the recorder and in the ending."""
    step = call.step
    hooks = Hooks(call.hooks, call.known)
    with ExitStack() as stack:
        step.target_path = stack.enter_context(target_folder(step.job))
        order = _order(call, hooks, step.target_path)
        ready = time.process_time()
        stack.enter_context(step.live)
        who = f"{step.ref.dag}, run {step.ref.number}, step {step.step.name} ({step.job.dag.owner})"
        database = step.shape.database
        stack.enter_context(database_lock(Path(database) if database else None, who, step.phase))
        step.phase("building")
        evidence = stack.enter_context(Evidence(step, call.nodes).around())
        step.engine = Engine(step.recorder)
        outcome = step.engine.build(order)
        evidence.keep(order.manifest)
        hint_at_missing(step)
    return Called(_ending(call, outcome), outcome.run_results, ready, hooks.halted)


def _project(call: Call) -> DbtProject:
    job, shape = call.step.job, call.step.shape
    return DbtProject(job.dbt_project.absolute(), Path(shape.profiles_dir), shape.target, job.dag.vars, job.dag.threads)


def _order(call: Call, hooks: Hooks, target_path: Path) -> Build:
    step = call.step
    project = _project(call)
    flags = dbt_flags(project, target_path, project.profiles_dir, project.target)
    deferred = step.compiled.deferred()
    if deferred is not None:
        (target_path / "deferred").mkdir()
        (target_path / "deferred" / "manifest.json").write_bytes(deferred)
        flags += ["--defer", "--defer-state", str(target_path / "deferred")]
    waits = step.waits()
    alone = step.step.kind == ISOLATED
    return Build(
        manifest=unpacked(_manifest(step)),
        sample_rows=step.job.sample_rows,
        arguments=(*flags, *step.job.options.build_flags),
        selection=(),
        nodes=call.nodes,
        whole=False,
        vars={**step.job.dag.vars, **step.parameters} if step.parameters else {},
        folder=project.folder,
        ranks={} if alone else longest_first(step.job.store, step.the_plan()),
        edges=tuple((above, node) for node in call.nodes for above in waits[node]),
        hooks=hooks,
        label={"dag": step.job.dag.name, "run": f"{step.task.flow}/{step.task.run}", "step": step.step.name},
        query_page=Rules.from_dict(step.job.telling).query_page(step.shape.target, step.task.flow, step.task.run),
    )


def _manifest(step: StepAttempt) -> bytes:
    """The stored manifest, with the project's folder as it is called on this machine."""
    raw, job = step.compiled.manifest(), step.job
    return moved(raw, job.moved_from, str(job.dbt_project)) if job.moved_from else raw


def _ending(call: Call, outcome: Outcome) -> Ending:
    for surprise in outcome.surprises:
        print(f"dbt-flow: {surprise}", file=sys.stderr)
    if outcome.error is not None:
        return Ending(refusal(outcome.error, _project(call), code="warehouse"))
    results, _ = call.step.recorder.snapshot()
    if outcome.ok or not all(results[node].good for node in call.nodes if node in results):
        return Ending()
    return Ending(complaint=hooks_that_failed(call.step.recorder) or "dbt says that the build failed, and every node is good")
