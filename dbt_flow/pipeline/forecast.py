"""``forecast()``: the plan and the decisions of a run that is not made, and what it would miss on the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.compiling import shape_of
from dbt_flow.pipeline.isolation import Isolation
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.prepare import Phase, Prepared, prepare, target_folder, why
from dbt_flow.pipeline.reusing import judge_reuse
from dbt_flow.pipeline.step_costs import known_costs
from dbt_flow.pipeline.upstream import builders, missing_hint, missing_upstream, read_from_others
from dbt_flow.plan.decide import decide
from dbt_flow.plan.planned import Decision, Plan
from dbt_flow.run.lock import database_lock


@dataclass(frozen=True)
class Forecast:
    """What a run would do."""

    plan: Plan
    decisions: tuple[Decision, ...]
    missing: tuple[str, ...] = ()
    """Ids of tables that it reads, does not build, and that are not on the target."""
    builders: Mapping[str, str] = field(default_factory=dict)
    """Which DAG builds each of those."""
    notes: tuple[str, ...] = ()
    """What a person should know before it runs."""
    isolation: Isolation | None = None
    """The steps of the flow, when models have steps of their own."""
    costs: str = ""
    """What those cost, in words."""
    threads: int = 1
    """How many nodes dbt builds at once."""


class _Held(Exception):
    """Somebody else holds the DuckDB file."""


def forecast(job: Job, phase: Phase) -> Forecast:
    """Plan a DAG and look at the target.

    :raises DbtFlowError: as for :func:`~dbt_flow.pipeline.prepare.prepare`; a warehouse that cannot be reached is a note.
    """
    with target_folder(job) as folder:
        prepared = prepare(job, folder, phase)
        found = replace(_forecast(job, prepared, phase), threads=prepared.parsed.target.threads)
        shape = shape_of(prepared) if job.dag.isolate else None
        if shape is not None:
            return replace(found, isolation=shape, costs=known_costs(job.store).sentence(shape))
        if job.dag.isolate:
            found = replace(found, notes=(*found.notes, "isolate: takes none of the models that are planned"))
        return found


def _forecast(job: Job, prepared: Prepared, phase: Phase) -> Forecast:
    decisions = decide(prepared.plan, why=why(job.dag))
    notes: tuple[str, ...] = ()
    if job.dag.reuse == "unchanged":
        decisions, notes = _reuse(prepared, decisions, phase)
    if not read_from_others(prepared.plan):
        return Forecast(prepared.plan, decisions, notes=notes)
    phase("looking for the tables that it reads")
    try:
        missing = _look(prepared)
    except (_Held, DbtFlowError) as error:
        note = f"whether the tables that it reads are there could not be seen: {error}"
        return Forecast(prepared.plan, decisions, notes=(*notes, note))
    if not missing:
        return Forecast(prepared.plan, decisions, notes=notes)
    by = builders(job, missing)
    return Forecast(prepared.plan, decisions, missing, by, (*notes, missing_hint(job, prepared.plan, missing, by)))


def _look(prepared: Prepared) -> tuple[str, ...]:
    with _locked(prepared):
        return missing_upstream(prepared)


def _reuse(prepared: Prepared, decisions: tuple[Decision, ...], phase: Phase) -> tuple[tuple[Decision, ...], tuple[str, ...]]:
    """The decisions of a run that would begin now with its parameters' defaults."""
    dag = prepared.job.dag
    try:
        values = dag.parameters({}, datetime.now(ZoneInfo(dag.timezone)).date())
        with _locked(prepared):
            judged = judge_reuse(prepared, decisions, {**dag.vars, **values}, phase)
    except (_Held, DbtFlowError) as error:
        return decisions, (f"what a run would reuse could not be seen: {error}",)
    return judged.decisions, (f"nothing is reused: {judged.note}",) if judged.note else ()


@contextmanager
def _locked(prepared: Prepared) -> Iterator[None]:
    """Hold the DuckDB file, or give up at once."""

    def held(sentence: str) -> None:
        raise _Held(sentence)

    path = prepared.parsed.target.path
    with database_lock(Path(path) if path and Path(path).exists() else None, "dbt-flow plan", held):
        yield
