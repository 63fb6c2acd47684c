"""``compile_isolated()``: what ``isolate:`` makes of a DAG, asked of dbt in the process that launches it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from dbt_flow import __version__
from dbt_flow.errors import ProjectError
from dbt_flow.pipeline.building import keep_manifest
from dbt_flow.pipeline.isolation import ON_END, ON_START, Compiled, Isolation, StepNeeds, arrows, new_key, sweep
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.prepare import Phase, Prepared, prepare, target_folder, why
from dbt_flow.pipeline.softened import soften
from dbt_flow.pipeline.upstream import deferred, with_upstream
from dbt_flow.plan.waves import END, ISOLATED, START, WARM, flow_steps, make_waves
from dbt_flow.project.seams.contents import packed
from dbt_flow.project.selecting import select
from dbt_flow.run.lock import database_lock
from dbt_flow.spec.model import Resources

ALL = "all"
_WITH_HOOKS = {ON_START: START, ON_END: END}


def compile_isolated(job: Job, phase: Phase, *, store: bool, deployed: bool = False) -> Isolation | None:
    """The flow's shape; None when nothing that is planned is isolated: the DAG is then a run of one step.

    :param store: also store what the steps need, for a run or a deployment.
    :raises DbtFlowError: as for :func:`~dbt_flow.pipeline.prepare.prepare`.
    """
    with target_folder(job) as folder:
        prepared = prepare(job, folder, phase)
        if store and job.options.upstream:
            path = prepared.parsed.target.path
            with database_lock(Path(path) if path else None, f"{job.dag.name} ({job.dag.owner})", phase):
                prepared = with_upstream(prepared, phase)
        chosen = isolated_models(prepared)
        if not chosen:
            return None
        found, parts = _shape(prepared, chosen, new_key(job, deployed))
        if store:
            _store(prepared, found, parts, phase)
        return found


def shape_of(prepared: Prepared) -> Isolation | None:
    """The flow's shape, for looking at it; None for a run of one step."""
    chosen = isolated_models(prepared)
    return _shape(prepared, chosen, "-")[0] if chosen else None


def isolated_models(prepared: Prepared) -> Mapping[str, Resources]:
    """The planned models that ``isolate:`` takes, with what each needs: of several selections the first that takes it."""
    models = {node.id for node in prepared.plan.nodes if node.type == "model"}
    dag = prepared.job.dag
    found: dict[str, Resources] = {}
    for wish in dag.isolate:
        taken = models if wish.select == (ALL,) else models & _selected(prepared, wish.select)
        for node in taken:
            found.setdefault(node, wish.resources)
    return found


def _selected(prepared: Prepared, words: tuple[str, ...]) -> frozenset[str]:
    try:
        return select(prepared.parsed, words)
    except ProjectError as error:
        place = error.place or prepared.job.dag.place("isolate")
        raise ProjectError(error.code, error.message, place=place, hint=error.hint) from error


def _shape(prepared: Prepared, chosen: Mapping[str, Resources], key: str) -> tuple[Isolation, dict[str, list[str]]]:
    """The flow, and the ids of each warm step."""
    plan, parsed, dag = prepared.plan, prepared.parsed, prepared.job.dag
    owned = {step.name: step for step in plan.steps}
    own = {step.name: next((node for node in step.nodes if node in chosen), None) for step in plan.steps}
    hooks = _hooks(prepared)
    waves = make_waves(plan.steps, {name for name, node in own.items() if node}, paid=[0] if ON_START in hooks else [])
    steps = flow_steps(waves, dag.params)
    place = {node.id: index for index, node in enumerate(plan.nodes)}
    waits = arrows(plan)
    isolated = [step for step in steps if step.kind == ISOLATED]
    nodes = {step.name: owned[step.step].nodes for step in isolated}
    parts = {
        step.name: sorted((node for name in waves.warm[step.part] for node in owned[name].nodes), key=place.__getitem__)
        for step in steps
        if step.kind == WARM
    }
    target = parsed.target
    shape = Isolation(
        key=key,
        target=target.name,
        database=target.path,
        steps=steps,
        needs={step.name: StepNeeds.of(chosen[own[step.step] or ""], dag.resources) for step in isolated},
        nodes=nodes,
        waits={node: waits[node] for its in nodes.values() for node in its},
        hooks=hooks,
        profiles_dir=str(parsed.profiles_dir),
        starts=len(isolated) + len({name for name, ids in parts.items() if ids} | {_WITH_HOOKS[kind] for kind in hooks}),
        why=why(dag),
        versions={**parsed.versions, "dbt-flow": __version__, "metaflow": version("metaflow")},
        manifest=parsed.manifest_digest,
    )
    return shape, parts


def _hooks(prepared: Prepared) -> tuple[str, ...]:
    """The kinds of hooks that the project and its packages have, as dbt tags them."""
    tags = {
        tag for node in prepared.parsed.manifest.nodes.values() if node.unique_id.startswith("operation.") for tag in node.tags
    }
    return tuple(kind for kind in (ON_START, ON_END) if kind in tags)


def _store(prepared: Prepared, found: Isolation, parts: dict[str, list[str]], phase: Phase) -> None:
    job, parsed = prepared.job, prepared.parsed
    sweep(job.store)
    compiled = Compiled(job.store, found.key)
    soften(prepared.job.dag, prepared.plan, parsed)
    compiled.put(found, prepared.plan, parts, packed(parsed.manifest))
    keep_manifest(job.store, parsed)
    if job.options.defer_to:
        *_, folder = deferred(job, parsed, phase)
        job.store.put(f"{compiled.folder}/deferred.json", (Path(folder) / "manifest.json").read_bytes())
