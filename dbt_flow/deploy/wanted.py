"""What is to be deployed: every DAG and ML flow, taken apart into digests, so that a plan can say which change matters."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dbt_flow import __version__
from dbt_flow.deploy.nouns import OWN_CODE, Input, Wanted, counted, digest
from dbt_flow.deploy.own_code import own_code
from dbt_flow.errors import DbtFlowError, InputError, Place
from dbt_flow.launch import read_flow
from dbt_flow.pipeline.prepare import Phase, Prepared, parse_fleet, plan_of
from dbt_flow.project.keys import subjects
from dbt_flow.records import Subject
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag, load_fleet

CHANGES: Mapping[str, str] = {
    "code": "SQL",
    "config": "config",
    "macros": "a macro that it uses",
    "vars": "a var that it reads",
}
"""The digests of a node, in their order, as a person says them; after them comes what it reads."""
READS = "the name of a table that it reads"

_PACKED = (".py", ".R", ".RDS")  # what Metaflow packs of a flow file's folder, when it is told nothing
_SHORT = 8


def everything(
    settings: Settings, surroundings: Mapping[str, str], phase: Phase
) -> tuple[tuple[Wanted, ...], list[DbtFlowError]]:
    """Every flow as the files say it, and what is wrong with the files. dbt is asked once for each project and target.

    :param surroundings: what the scheduler adds (:meth:`~dbt_flow.deploy.schedulers.Scheduler.surroundings`).
    """
    phase("reading the DAG files")
    fleet = load_fleet(settings)
    errors = list(fleet.errors)
    prepared = _prepared(settings, fleet.dags, errors, phase)
    phase("taking the DAGs apart")
    code = {OWN_CODE: own_code()}
    found = [
        _of_dag(one.job.dag, settings.root, {"dbt": nodes, "code": code, "surroundings": surroundings}, one)
        for one, nodes in _with_nodes(prepared)
    ]
    if settings.flows:
        phase(f"reading {counted(len(settings.flows), 'ML flow')}")
    with ThreadPoolExecutor(2) as pool:
        for file, read in zip(settings.flows, pool.map(lambda file: _read(file, settings), settings.flows), strict=True):
            if isinstance(read, DbtFlowError):
                errors.append(read)
            else:
                found.append(_of_flow(read, file, settings, surroundings))
    return tuple(sorted(found, key=lambda one: one.flow)), errors + _twice(found)


def _prepared(settings: Settings, dags: Sequence[Dag], errors: list[DbtFlowError], phase: Phase) -> list[Prepared]:
    found = []
    for number, (job, parsed) in enumerate(parse_fleet(settings, dags, errors, phase), start=1):
        if number % 20 == 0:
            phase(f"selecting: {number} of {len(dags)} DAGs")
        try:
            found.append(plan_of(job, parsed))
        except DbtFlowError as error:
            errors.append(error)
    return found


def _with_nodes(prepared: Sequence[Prepared]) -> Iterable[tuple[Prepared, Mapping[str, str]]]:
    """Each DAG with the digests of its nodes; a project is read once for all its DAGs."""
    groups: dict[int, list[Prepared]] = {}
    for one in prepared:
        groups.setdefault(id(one.parsed), []).append(one)
    for members in groups.values():
        ids = {node.id for one in members for node in (*one.plan.nodes, *one.plan.inlined)}
        known = subjects(members[0].parsed, ids, members[0].job.dag.vars)
        for one in members:
            yield one, _nodes(one, known)


def _nodes(prepared: Prepared, known: Mapping[str, Subject]) -> dict[str, str]:
    """The planned nodes, and the ephemerals whose code stands in theirs."""
    waiting = [node.id for node in (*prepared.plan.nodes, *prepared.plan.inlined)]
    found: dict[str, str] = {}
    while waiting:
        key = waiting.pop()
        subject = known.get(key)
        if subject is None or key in found or not subject.key:
            continue
        reads = sorted((parent, str(known[parent].relation)) for parent in subject.parents if parent in known)
        found[key] = ".".join([*(digest(subject.key.get(part))[:_SHORT] for part in CHANGES), digest(reads)[:_SHORT]])
        waiting += [parent for parent in subject.parents if parent in known and known[parent].kind == "ephemeral"]
    project = {subject.key["project"] for key, subject in known.items() if key in found}
    target = prepared.parsed.target
    found["the project's hooks and behaviour"] = digest(sorted(project))
    found["the dbt target"] = digest(target.name, target.adapter, target.schema, None if target.path else target.database)
    return found


def _of_dag(dag: Dag, root: Path, parts: Mapping[str, Mapping[str, str]], prepared: Prepared) -> Wanted:
    versions = {**_versions(), **prepared.parsed.versions}
    return Wanted(
        name=dag.name,
        kind="dag",
        flow=dag.flow_name,
        path=root / dag.file,
        place=dag.place("trigger"),
        owner=dag.owner,
        description=dag.description,
        starts=dag.trigger.text,
        inputs={name: Input(param.type, param.required) for name, param in dag.params.items()},
        parts={"yaml": {key: digest(value) for key, value in dag.written.items()}, "versions": versions, **parts},
        tags=(f"dag:{dag.name}", f"owner:{dag.owner}", *dag.tags),
        dag=dag,
    )


def _read(file: Path, settings: Settings) -> Mapping[str, Any] | DbtFlowError:
    try:
        if not file.is_file():
            hint = "mend the path under flows: in dbt_flow.yml"
            shown = settings.shown(file)
            raise InputError("unreadable", f"there is no flow file {shown}", place=Place(shown), hint=hint)
        return read_flow(file, settings)
    except DbtFlowError as error:
        return error


def _of_flow(facts: Mapping[str, Any], file: Path, settings: Settings, surroundings: Mapping[str, str]) -> Wanted:
    flow = str(facts["flow"])
    heard = [str(item.get("flow") or item["name"]) for item in (*facts["trigger"], *facts["trigger_on_finish"])]
    crons = [f"{item['cron']} {item['timezone'] or 'UTC'}" for item in facts["schedule"]]
    texts = {path.relative_to(file.parent).as_posix(): path.read_text(errors="replace") for path in packed(file)}
    code = {name: digest(text) for name, text in texts.items()}
    # dbt-flow does not travel with an ML flow: one that imports it takes it from the image.
    ours = {"dbt-flow": __version__} if any("dbt_flow" in text for text in texts.values()) else {}
    owner = settings.flow_owners.get(file, "")
    return Wanted(
        name=flow,
        kind="flow",
        flow=flow,
        path=file,
        place=decorator_place(file, settings),
        owner=owner,
        starts=" and ".join([*(f"after {name}" for name in heard), *crons]) or "by hand",
        inputs={name: Input(str(one["type"]), bool(one["required"])) for name, one in facts["params"].items()},
        parts={
            "code": {**code, "its triggers": digest(facts["trigger"], facts["trigger_on_finish"], facts["schedule"])},
            "versions": {**_versions(), **ours},
            "surroundings": surroundings,
        },
        tags=(f"owner:{owner}",) if owner else (),
        in_project=bool(facts.get("project")),
        facts=facts,
    )


def packed(file: Path) -> list[Path]:
    """The files that Metaflow packs with a flow file, sorted: those of its folder, by their endings."""
    found = [path for suffix in _PACKED for path in file.parent.rglob(f"*{suffix}")]
    inside = [(path, path.relative_to(file.parent).parts) for path in found]
    return sorted(path for path, parts in inside if not any(part[0] == "." or part == "__pycache__" for part in parts))


def decorator_place(file: Path, settings: Settings) -> Place:
    """The first decorator that starts a flow; the file when there is none."""
    shown = settings.shown(file)
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if line.lstrip().startswith(("@trigger", "@schedule", "@needs")):
            return Place(shown, number, len(line) - len(line.lstrip()) + 1, line)
    return Place(shown)


def _twice(found: Sequence[Wanted]) -> list[DbtFlowError]:
    """Two files with one flow would take turns at being deployed. Argo spells a flow's name in lower case."""
    first: dict[str, Wanted] = {}
    errors: list[DbtFlowError] = []
    for one in found:
        other = first.setdefault(one.flow.casefold(), one)
        if other is not one:
            message = f"this and {other.path.name} are both the flow {one.flow}"
            errors.append(InputError("name-collision", message, place=one.place, hint="rename one of the two"))
    return errors


def _versions() -> dict[str, str]:
    return {"metaflow": version("metaflow"), "python": ".".join(platform.python_version_tuple()[:2])}
