"""Tables that a DAG reads and other DAGs build: which are missing on the target, building them too, reading them elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.prepare import Phase, Prepared, parse_fleet, planned
from dbt_flow.plan.planned import Plan
from dbt_flow.project.parsing import Parsed, parse
from dbt_flow.project.relations import missing_relations
from dbt_flow.project.selecting import select
from dbt_flow.records import BUILT
from dbt_flow.run.recorder import Recorder
from dbt_flow.settings import Flags, load_settings
from dbt_flow.spec import load_fleet


def read_from_others(plan: Plan) -> tuple[str, ...]:
    """The ids of the tables that the plan reads and does not build."""
    return tuple(node.id for node in plan.surroundings if node.type in BUILT and node.relation)


def missing_upstream(prepared: Prepared) -> tuple[str, ...]:
    """Those of them that do not exist on the target, in dbt's order.

    :raises ProjectError: the warehouse cannot be reached.
    """
    missing = missing_relations(prepared.parsed, read_from_others(prepared.plan))
    return tuple(sorted(missing, key=lambda node: prepared.parsed.position.get(node, 0)))


def with_upstream(prepared: Prepared, phase: Phase) -> Prepared:
    """The same DAG with the missing tables it stands on, theirs, and the tests all of whose parents are then there."""
    phase("looking for tables of other DAGs that are missing")
    parsed = prepared.parsed
    added: set[str] = set()
    look = set(missing_upstream(prepared))
    while look:
        added |= look
        above = {parent for node in look for parent in _tables_above(parsed, node)} - added - prepared.selected
        look = set(missing_relations(parsed, above))
    if not added:
        return prepared
    whole = prepared.selected | added
    tests = {
        test
        for test, node in parsed.manifest.nodes.items()
        if node.resource_type == "test"
        and test not in whole
        and any(parent in added for parent in node.depends_on_nodes)
        and all(parent in whole or parent.startswith("source.") for parent in node.depends_on_nodes)
    }
    names = ", ".join(sorted(parsed.manifest.nodes[node].name for node in added))
    phase(f"also building what is missing: {names}")
    return planned(prepared.job, parsed, whole | tests | _ephemerals_between(parsed, whole))


def _tables_above(parsed: Parsed, node: str) -> set[str]:
    """The nearest tables that a node reads, looking through ephemeral models."""
    nodes = parsed.manifest.nodes
    found: set[str] = set()
    open_ends = list(nodes[node].depends_on_nodes)
    while open_ends:
        parent = open_ends.pop()
        if parent not in nodes:
            continue
        if nodes[parent].is_ephemeral_model:
            open_ends += nodes[parent].depends_on_nodes
        elif nodes[parent].resource_type in BUILT:
            found.add(parent)
    return found


def _ephemerals_between(parsed: Parsed, ids: Iterable[str]) -> set[str]:
    nodes = parsed.manifest.nodes
    above = {parent for node in ids if node in nodes for parent in nodes[node].depends_on_nodes}
    return {parent for parent in above if _is_ephemeral(nodes.get(parent))}


def _is_ephemeral(node: object) -> bool:
    return bool(node is not None and getattr(node, "is_ephemeral_model", False))


def deferred(job: Job, parsed: Parsed, phase: Phase) -> tuple[str, ...]:
    """dbt's own defer to another target: its manifest, made here, and the flags that name it.

    :raises ProjectError: the other target is not in the profile.
    """
    phase(f"asking dbt for the target {job.options.defer_to}")
    other = replace(job.project(), target=job.options.defer_to)
    folder = parsed.target_path / "deferred"
    manifest = parse(other, job.state / "parse", folder, job.shared).manifest
    manifest.write(str(folder / "manifest.json"))
    return ("--defer", "--defer-state", str(folder))


def builders(job: Job, tables: Iterable[str]) -> dict[str, str]:
    """Which DAG of the fleet builds each table; a table that none builds is left out."""
    wanted, found = set(tables), dict[str, str]()
    errors: list[DbtFlowError] = []
    try:
        settings = load_settings(Flags(root=str(job.root), state=job.bucket or str(job.state)))
        others = [dag for dag in load_fleet(settings).dags if dag.name != job.dag.name]
    except DbtFlowError:
        return found
    for other, parsed in parse_fleet(settings, others, errors):
        chosen = other.dag.selection
        try:
            taken = select(parsed, chosen.select, chosen.exclude, chosen.selector)
        except DbtFlowError:
            continue
        found.update({table: other.dag.name for table in wanted & taken if table not in found})
    return found


def missing_hint(job: Job, plan: Plan, missing: Iterable[str], by: Mapping[str, str]) -> str:
    """What is missing, who builds it (``by``), and what to type."""
    tables = tuple(missing)
    parts = [f"{plan.by_id[table].name} (built by {by[table]})" if table in by else plan.by_id[table].name for table in tables]
    return f"missing on the target {plan.target}: {', '.join(parts)}; build them too: dbt-flow run {job.dag.name} --upstream"


def explain_missing(job: Job, prepared: Prepared, recorder: Recorder) -> None:
    """Where a node failed because it reads a table of another DAG that is not there, say so in its reason."""
    outside = set(read_from_others(prepared.plan))
    results, _ = recorder.snapshot()
    failed = [prepared.plan.by_id[node] for node, result in results.items() if result.status == "error"]
    suspects = {table for node in failed for table in outside & _tables_above_any(prepared.parsed, node.id)}
    if not suspects or job.options.defer_to:
        return
    try:
        missing = missing_relations(prepared.parsed, suspects)
    except DbtFlowError:
        return
    if not missing:
        return
    by = builders(job, missing)
    for node in failed:
        reads = missing & _tables_above_any(prepared.parsed, node.id)
        if reads:
            recorder.enrich(node.id, {"reason": missing_hint(job, prepared.plan, sorted(reads), by)})


def _tables_above_any(parsed: Parsed, node: str) -> set[str]:
    unit = parsed.manifest.unit_tests.get(node)
    if unit is not None:  # it reads the columns of what its model reads
        node = unit.depends_on.nodes[0]
    return _tables_above(parsed, node) if node in parsed.manifest.nodes else set()
