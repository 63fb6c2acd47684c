"""Where a step of a run of several needs dbt's eyes, beside building: before the first, and around what each of them builds.

A step works from the manifest that was stored when the run was launched. Whoever looks at sources and relations needs dbt's
project, too: it is parsed again, from the shared cache, and is used only while it is still the one that was launched.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.fresh import require_fresh
from dbt_flow.pipeline.prepare import Prepared, prepare, target_folder
from dbt_flow.pipeline.reusing import Judged, judge_reuse, keep_made, known_of
from dbt_flow.pipeline.upstream import explain_missing, read_from_others
from dbt_flow.plan.planned import Decision
from dbt_flow.run.lock import database_lock

if TYPE_CHECKING:
    from dbt_flow.pipeline.isolated import StepAttempt

_EDITED = "the project has changed since the run was launched"


def look_first(step: StepAttempt, decisions: tuple[Decision, ...]) -> Judged:
    """Wait for fresh sources, where the DAG asks for them; then say what is unchanged, where it says ``reuse``.

    :raises DbtFlowError: the sources are not fresh, or cannot be asked for.
    """
    dag, who = step.job.dag, _who(step)
    with target_folder(step.job) as folder:
        prepared = prepare(step.job, folder, step.phase)
        same = prepared.parsed.manifest_digest == step.shape.manifest
        prepared = replace(prepared, plan=step.the_plan())
        require_fresh(prepared, step.record, who, step.phase)
        if dag.reuse != "unchanged":
            return Judged(prepared, decisions)
        if not same:
            why = f"nothing is reused: {_EDITED}"
            return Judged(
                prepared, tuple(replace(one, reason=why) if one.decision == "run" else one for one in decisions), note=why
            )
        with database_lock(_database(step), who, step.phase):
            return judge_reuse(prepared, decisions, _values(step), step.phase)


class Evidence:
    """What a step's build leaves for later runs with ``reuse``, looked at while the step holds the database."""

    def __init__(self, step: StepAttempt, nodes: frozenset[str]) -> None:
        self._step, self._nodes = step, nodes
        self._judged: Judged | None = None

    @contextmanager
    def around(self) -> Iterator[Evidence]:
        """Look before the build. What cannot be looked at is no evidence, and builds all the same."""
        step = self._step
        if step.job.dag.reuse != "unchanged" or not self._nodes or step.job.options.defer_to:
            yield self
            return
        with target_folder(step.job) as folder:
            try:
                prepared = prepare(step.job, folder, _quietly)
                if prepared.parsed.manifest_digest == step.shape.manifest:
                    prepared = replace(prepared, plan=step.the_plan())
                    self._judged = Judged(prepared, (), known_of(prepared, _values(step), self._nodes))
            except (DbtFlowError, OSError) as error:
                print(f"dbt-flow: no evidence for reuse is kept: {error}", file=sys.stderr)
            yield self

    def keep(self, manifest: Any) -> None:
        """After the build: ``manifest`` is the one that was built from, with the SQL that was sent."""
        if self._judged is not None:
            results, _ = self._step.recorder.snapshot()
            run = f"{self._step.task.flow}/{self._step.task.run}"
            keep_made(self._judged, self._nodes, results, run, manifest=manifest, part=self._step.step.name)


def hint_at_missing(step: StepAttempt) -> None:
    """Where a node failed because it reads a table of another DAG that is not there, say so. The step holds the database."""
    results, _ = step.recorder.snapshot()
    if not any(result.status == "error" for result in results.values()) or not read_from_others(step.the_plan()):
        return
    try:
        with target_folder(step.job) as folder:
            explain_missing(step.job, _of_run(step, folder), step.recorder)
    except (DbtFlowError, OSError) as error:
        print(f"dbt-flow: what is missing cannot be told: {error}", file=sys.stderr)


def _of_run(step: StepAttempt, folder: Path) -> Prepared:
    return replace(prepare(step.job, folder, _quietly), plan=step.the_plan())


def _values(step: StepAttempt) -> Mapping[str, Any]:
    return {**step.job.dag.vars, **step.parameters}


def _who(step: StepAttempt) -> str:
    return f"{step.ref.dag}, run {step.ref.number}, step {step.step.name} ({step.job.dag.owner})"


def _database(step: StepAttempt) -> Path | None:
    return Path(step.shape.database) if step.shape.database else None


def _quietly(_text: str) -> None:
    """A step has said what it does."""
