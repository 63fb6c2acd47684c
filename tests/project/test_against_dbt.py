"""Selections and order against dbt itself, on random projects: what ``dbt ls`` lists, what dbt's queue waits for, what
``dbt build`` executes and skips."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from dbt.cli.main import dbtRunner
from dbt.task.build import BuildTask
from projects import FUNCTION, KINDS, SELECTIONS, as_flags, random_project, write

from dbt_flow.plan.change_causes import blockers
from dbt_flow.plan.making import make_plan
from dbt_flow.plan.planned import Plan
from dbt_flow.project.facts_of import facts
from dbt_flow.project.parsing import Parsed, parse
from dbt_flow.project.place import DbtProject, working_in
from dbt_flow.project.seams import invocation
from dbt_flow.project.selecting import select

NUMBERS = (1, 2, 3)
HAS_FUNCTIONS = hasattr(BuildTask, "RUNNER_MAP") and any(kind.value == "function" for kind in BuildTask.RUNNER_MAP)


@pytest.fixture(scope="module", params=NUMBERS)
def parsed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    folder = tmp_path_factory.mktemp(f"random{request.param}")
    random_project(folder / "shop", request.param, models=14 + request.param * 3)
    return parse(DbtProject(folder / "shop"), folder / "cache", folder / "target")


def plan_of(parsed: Parsed, selection: Mapping[str, Any]) -> Plan:
    return make_plan("dag", parsed.name, parsed.target, facts(parsed, select(parsed, **selection)))


def listed(parsed: Parsed, selection: Mapping[str, Any]) -> set[str]:
    """What ``dbt ls`` lists of the types that build executes, ephemerals left out."""
    kinds = [word for kind in BuildTask.RUNNER_MAP for word in ("--resource-type", str(kind.value))]
    words = ["ls", *parsed.arguments(), *as_flags(selection), *kinds, "--output", "json", "--output-keys", "unique_id config"]
    with working_in(parsed.project.folder):
        answer = dbtRunner(manifest=parsed.manifest).invoke(words)
    assert answer.exception is None
    rows = [json.loads(row) for row in answer.result or []]
    return {row["unique_id"] for row in rows if row["config"].get("materialized") != "ephemeral"}


def dbt_order(parsed: Parsed, selection: Mapping[str, Any], compiled: dict[int, Any]) -> nx.DiGraph[str]:
    """The graph of ``dbt build``'s queue, with each unit test between its model and what that waits for."""
    command = ["build", *parsed.arguments(), *as_flags(selection)]
    with working_in(parsed.project.folder), invocation.overhearing(), invocation.flags_of(command) as flags:
        task = BuildTask(flags, parsed.config, parsed.manifest)
        if id(parsed) not in compiled:
            task.compile_manifest()
            compiled[id(parsed)] = task.graph
        task.graph = compiled[id(parsed)]
        graph = nx.DiGraph(task.get_graph_queue().graph)
    for model, units in task.model_to_unit_test_map.items():
        above = list(graph.predecessors(model)) if model in graph else []
        for unit in units if model in graph else ():
            graph.add_edges_from((node, unit) for node in above)
            graph.add_edge(unit, model)
    return graph


def closure(graph: nx.DiGraph[str], keep: set[str]) -> set[tuple[str, str]]:
    return {(above, below) for above in keep for below in nx.descendants(graph, above) if below in keep}


COMPILED: dict[int, Any] = {}


@pytest.mark.parametrize("selection", SELECTIONS, ids=lambda selection: " ".join(as_flags(selection)) or "everything")
def test_a_plan_waits_for_exactly_what_dbt_waits_for(parsed: Parsed, selection: Mapping[str, Any]) -> None:
    plan = plan_of(parsed, selection)
    theirs = dbt_order(parsed, selection, COMPILED)
    planned = {node.id for node in plan.nodes}
    assert planned == set(theirs) - {node.id for node in plan.inlined}
    mine: nx.DiGraph[str] = nx.DiGraph()
    mine.add_nodes_from(planned)
    mine.add_edges_from((*plan.edges, *plan.gates))
    assert closure(mine, planned) == closure(theirs, planned)


@pytest.mark.parametrize("selection", SELECTIONS[::2], ids=lambda selection: " ".join(as_flags(selection)) or "everything")
def test_a_plan_holds_exactly_what_dbt_lists(parsed: Parsed, selection: Mapping[str, Any]) -> None:
    planned = {node.id for node in plan_of(parsed, selection).nodes}
    theirs = listed(parsed, selection)
    orphans = {
        key
        for key in theirs
        if key.startswith("unit_test.") and parsed.manifest.unit_tests[key].depends_on.nodes[0] not in theirs
    }
    ephemeral = {
        node for node in orphans if parsed.manifest.unit_tests[node].depends_on.nodes[0] in select(parsed, **selection)
    }
    assert planned == theirs - (orphans - ephemeral)  # dbt lists a unit test without its model, and never runs it


def test_state_modified_is_dbts_own(tmp_path: Path) -> None:
    random_project(tmp_path / "shop", 7, models=8)
    before = parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "before")
    (tmp_path / "state").mkdir()
    before.manifest.write(str(tmp_path / "state" / "manifest.json"))
    model = next((tmp_path / "shop" / "models").rglob("m2.sql"))
    model.write_text(model.read_text() + "-- changed\n")
    after = parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "after")
    selection = {"include": ("state:modified+",), "state": tmp_path / "state"}
    planned = {node.id for node in plan_of(after, selection).nodes}
    assert any(key.endswith(".m2") for key in select(after, **selection))
    assert planned == listed(after, selection)
    assert not select(before, **selection)


def build(parsed: Parsed, selection: Mapping[str, Any]) -> dict[str, str]:
    """Node statuses of a real ``dbt build``; hooks left out. A build changes its manifest, so each has one of its own."""
    fresh = parse(parsed.project, parsed.target_path.parent / "cache", parsed.target_path).manifest
    with working_in(parsed.project.folder):
        answer = dbtRunner(manifest=fresh).invoke(["build", *parsed.arguments(), *as_flags(selection)])
    assert answer.exception is None, answer.exception
    results = {str(result.node.unique_id): str(result.status) for result in answer.result.results}
    return {key: status for key, status in results.items() if not key.startswith("operation.")}


@pytest.mark.parametrize(
    ("number", "selection"), [(2, {}), (5, {}), (8, {"exclude": ("m4",)}), (9, {"include": ("path:models",)})]
)
def test_a_real_build_executes_what_is_planned_and_skips_what_is_gated(
    tmp_path: Path, number: int, selection: Mapping[str, Any]
) -> None:
    random_project(tmp_path / "shop", number, models=16, broken=True)
    parsed = parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "target")
    build(parsed, {"include": ("resource_type:seed",)})  # the sources are seeds' tables
    plan = plan_of(parsed, selection)
    results = build(parsed, selection)
    assert set(results) == {node.id for node in plan.nodes}
    causes = blockers(plan, results)
    assert set(causes) == {key for key, status in results.items() if status == "skipped"}
    assert all(causes.values()), "a node was skipped that no failure stands above"
    assert {results[cause] for its in causes.values() for cause in its} <= {"error", "fail"}
    waits: dict[str, set[str]] = {}
    for above, below in (*plan.edges, *plan.gates):
        waits.setdefault(below, set()).add(results[above])
    ran = [key for key, status in results.items() if status != "skipped"]
    assert not any({"error", "fail", "skipped"} & waits.get(key, set()) for key in ran), "a node ran that we would skip"


@pytest.mark.parametrize("selection", [{}, {"include": ("facts+",)}, {"include": ("stage",)}, {"include": ("source:raw+",)}])
def test_every_kind_of_node_is_planned_as_dbt_executes_it(tmp_path: Path, selection: Mapping[str, Any]) -> None:
    hooks = {"on-run-start": ["select 1"], "on-run-end": ["select 2"]}
    write(tmp_path / "shop", {**KINDS, **(FUNCTION if HAS_FUNCTIONS else {})}, **hooks)
    parsed = parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "target")
    build(parsed, {"include": ("resource_type:seed", "facts")})
    results = build(parsed, selection)
    assert set(results) == {node.id for node in plan_of(parsed, selection).nodes}
    if not selection:
        assert results["exposure.shop.board"] == results["saved_query.shop.weekly"] == "no-op", results


def test_dbt_lists_a_unit_test_without_its_model_and_builds_nothing(tmp_path: Path) -> None:
    write(tmp_path / "shop", KINDS)
    parsed = parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "target")
    selection = {"include": ("stage_casts",)}
    assert listed(parsed, selection) == {"unit_test.shop.stage.stage_casts"}
    assert build(parsed, selection) == {}
    assert select(parsed, **selection) == frozenset()
