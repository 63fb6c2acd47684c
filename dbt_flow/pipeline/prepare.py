"""``prepare()``: ask dbt for the manifest, let dbt select, and make the plan. Many DAGs of one project parse and link once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbt_flow.errors import DbtFlowError, ProjectError, Refusals
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.softened import without_excluded
from dbt_flow.plan.making import make_plan
from dbt_flow.plan.planned import Plan
from dbt_flow.project.at_parse import parameters_at_parse
from dbt_flow.project.by_time import microbatch_models
from dbt_flow.project.facts_of import facts
from dbt_flow.project.nearest import nearest
from dbt_flow.project.parsing import Parsed, parse
from dbt_flow.project.selecting import Selection, select, selection_of
from dbt_flow.project.typed_names import names_of
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag
from dbt_flow.state.leftovers import left_behind, maker
from dbt_flow.state.names import keep_names
from dbt_flow.state.runs import RunRecord, find_runs

Phase = Callable[[str], None]
"""Told what goes on, in words."""


@dataclass(frozen=True)
class Prepared:
    """A DAG with all that is needed to run it in this process."""

    job: Job
    parsed: Parsed
    selected: frozenset[str]
    """What dbt selected, ephemerals included."""
    plan: Plan


@contextmanager
def target_folder(job: Job) -> Iterator[Path]:
    """A target path for one run, gone afterwards: what is worth keeping is kept in the run's record."""
    parent = job.store.local.path("targets/.keep").parent
    for left in parent.iterdir():
        if left_behind(left.name):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{maker()}-{job.dag.name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare(job: Job, target_path: Path, phase: Phase) -> Prepared:
    """From a DAG to its plan.

    :raises DbtFlowError: dbt refuses the project or the selection, or the selection is empty.
    """
    phase("asking dbt for the project")
    parsed = parse(job.project(), job.state / "parse", target_path, job.shared)
    keep_names(job.store, job.dbt_project, names_of(parsed))
    phase("planning")
    return plan_of(job, parsed)


def plan_of(job: Job, parsed: Parsed) -> Prepared:
    """The plan of one DAG of a parsed project.

    :raises DbtFlowError: dbt refuses the selection, or it is empty, or a parameter is used where it cannot take effect.
    """
    dag = job.dag
    selected = without_excluded(dag, _select(job, parsed), lambda words: select(parsed, words))
    early = parameters_at_parse(parsed, tuple(dag.params), selected) if dag.params else ()
    if early:
        raise early[0] if len(early) == 1 else Refusals(early)
    if job.options.event_times:
        _told_apart(job, parsed, selected)
    return planned(job, parsed, selected)


def _told_apart(job: Job, parsed: Parsed, selected: frozenset[str]) -> None:
    """:raises ProjectError: days are asked for, and nothing in the DAG can tell one day from another."""
    dag = job.dag
    if any(param.type == "date" for param in dag.params.values()) or microbatch_models(parsed, selected):
        return
    message = f"{dag.name} has no date parameter and selects no microbatch model: for every day it would build the same"
    hint = "give it one, params: {as_of: {type: date}}, and use var('as_of') in its SQL; or make a model microbatch"
    raise ProjectError("not-by-time", message, place=dag.place("params"), hint=hint)


def planned(job: Job, parsed: Parsed, selected: frozenset[str]) -> Prepared:
    """The plan of a set of ids.

    :raises ProjectError: ``selects-nothing`` when nothing in it is ever executed.
    """
    plan = make_plan(job.dag.name, parsed.name, parsed.target, facts(parsed, selected), vars=job.dag.vars)
    if not plan.nodes:
        raise _empty(job.dag, parsed)
    return Prepared(job, parsed, selected, plan)


def _select(job: Job, parsed: Parsed) -> frozenset[str]:
    selected = chosen_by(job, parsed).ids
    if not selected:
        raise _empty(job.dag, parsed)
    return selected


def chosen_by(job: Job, parsed: Parsed) -> Selection:
    """What dbt takes for a DAG's selection, maybe nothing, and which parts of it took nothing.

    :raises ProjectError: dbt refuses it, with the DAG file's line; or it asks for a ``state:`` that there is not.
    """
    chosen = job.dag.selection
    state = _state_for(job, parsed) if needs_state(job.dag) else None
    try:
        return selection_of(parsed, chosen.select, chosen.exclude, chosen.selector, state)
    except ProjectError as error:
        key = "selector" if chosen.selector else "select" if chosen.select and not chosen.claimed else "exclude"
        place = error.place or (None if chosen.claimed else job.dag.place(key))
        raise ProjectError(error.code, error.message, place=place, hint=error.hint) from error


def why(dag: Dag) -> str:
    """The reason for which a DAG's nodes are in its plan."""
    chosen = dag.selection
    if chosen.claimed:
        return "claims the DAG"
    if chosen.selector:
        return f"selected by the selector {chosen.selector}"
    return f"selected by {' '.join(chosen.select)}" if chosen.select else f"not excluded by {' '.join(chosen.exclude)}"


def _empty(dag: Dag, parsed: Parsed) -> ProjectError:
    if dag.selection.claimed:
        hint = f"write {{{{ in_dag('{dag.name}') }}}} at the top of a model, or give the DAG a `select:`"
        message = f"no model claims the DAG {dag.name}, and it has no select, exclude or selector"
        return ProjectError("selects-nothing", message, place=dag.place("name"), hint=hint)
    key = next(key for key in ("selector", "select", "exclude") if getattr(dag, key))
    near = nearest(parsed, dag.select)
    hint = f"did you mean {', '.join(near)}?" if near else "see what the project has: dbt-flow new"
    return ProjectError("selects-nothing", f"the selection of {dag.name} is empty", place=dag.place(key), hint=hint)


def needs_state(dag: Dag) -> bool:
    """Whether dbt will ask for ``--state``; what the method then means is dbt's own business."""
    return any("state:" in part for part in dag.selection.select + dag.selection.exclude)


def _state_for(job: Job, parsed: Parsed) -> Path:
    """A folder with the manifest that ``state:`` compares with: the one named, else the last good run's.

    :raises ProjectError: there is none.
    """
    if job.options.compare_to:
        return Path(job.options.compare_to).absolute()
    for ref in find_runs(job.store, job.dag.name, parsed.target.name):
        record = RunRecord(job.store, ref)
        result = record.result()
        kept = record.get("artifacts.json") if result is not None and result.status == "success" else None
        document = job.store.get(f"manifests/{kept['manifest']}.json") if kept else None
        if document is not None:
            folder = parsed.target_path / f"state-{job.dag.name}"
            folder.mkdir(parents=True, exist_ok=True)  # of a fleet's parse the target folder has gone; the next run sweeps it
            (folder / "manifest.json").write_bytes(document)
            return folder
    raise ProjectError(
        "dbt-selector",
        "`state:` compares with the last good run of the DAG on this target, and there is none yet",
        place=job.dag.place("select"),
        hint="name a folder that holds a manifest.json: --compare-to DIR",
    )


def check_selections(settings: Settings, dags: Sequence[Dag], phase: Phase = lambda _: None) -> list[DbtFlowError]:
    """Ask dbt about the selections of many DAGs: one parse and one linking for each dbt project, target and vars."""
    errors: list[DbtFlowError] = []
    for job, parsed in parse_fleet(settings, dags, errors, phase):
        try:
            plan_of(job, parsed)
        except Refusals as refusals:
            errors += refusals.errors
        except DbtFlowError as error:
            errors.append(error)
    return errors


def parse_fleet(
    settings: Settings,
    dags: Sequence[Dag],
    errors: list[DbtFlowError],
    phase: Phase = lambda _: None,
    known: dict[str, Parsed | None] | None = None,
) -> Iterator[tuple[Job, Parsed]]:
    """Each DAG with its parsed project; a project that does not parse is one error, whatever number of DAGs it has.

    :param known: what an earlier call parsed; it is not parsed again
    """
    known = {} if known is None else known
    for dag in dags:
        try:
            job = Job.of(settings, dag)
        except DbtFlowError as error:
            errors.append(error)
            continue
        project = job.project()
        key = repr((project.folder, project.target, sorted(project.vars.items(), key=str)))
        if key not in known:
            phase(f"asking dbt for {settings.shown(project.folder)}")
            with target_folder(job) as folder:
                try:
                    known[key] = parse(project, job.state / "parse", folder, job.shared)
                except DbtFlowError as error:
                    errors.append(error)
                    known[key] = None
        parsed = known[key]
        if parsed is not None:
            yield job, parsed
