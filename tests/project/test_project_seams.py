"""Each private thing of dbt that we touch, tried by itself: a failure here names the upstream change that broke it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dbt.cli.flags import Flags
from dbt.cli.main import dbtRunner
from dbt.flags import get_flags
from dbt.graph import Graph
from dbt.task.build import BuildTask
from dbt_common.events.event_manager_client import get_event_manager
from dbt_common.events.functions import fire_event
from dbt_common.events.types import Note
from projects import KINDS, random_project, write

from dbt_flow.project.facts_of import facts
from dbt_flow.project.parsing import Parsed, parse
from dbt_flow.project.place import DbtProject, working_in
from dbt_flow.project.seams import contents, invocation, selection
from dbt_flow.project.selecting import select


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    folder = tmp_path_factory.mktemp("seams")
    write(folder / "shop", KINDS)
    return parse(DbtProject(folder / "shop"), folder / "cache", folder / "target")


def test_seam_1_a_running_command_holds_what_it_resolved(parsed: Parsed) -> None:
    with working_in(parsed.project.folder):
        answer = invocation.ask(["parse", *parsed.arguments(), "--no-write-json"])
    inside = answer.inside
    assert {"flags", "profile", "project", "runtime_config"} <= inside.keys(), "dbt.cli.requires keeps other names in ctx.obj"
    config = inside["runtime_config"]
    for name in ("project_name", "target_name", "profile_name", "threads", "credentials"):
        assert hasattr(config, name), f"RuntimeConfig lost {name}"
    for name in ("type", "schema", "database", "path"):
        assert hasattr(config.credentials, name), f"Credentials lost {name}"
    assert Path(inside["flags"].PROFILES_DIR), "Flags lost PROFILES_DIR"


def test_seam_2_flags_are_global_and_are_given_back(parsed: Parsed) -> None:
    before = get_flags()
    with invocation.flags_of(["build", *parsed.arguments(), "--select", "a b"]) as flags:
        assert get_flags() is flags, "dbt.flags.set_flags no longer sets what get_flags gets"
        assert isinstance(flags, Flags)
        assert tuple(flags.SELECT) == ("a", "b"), "--select is parsed another way"
        assert flags.INDIRECT_SELECTION == "eager"
    assert get_flags() is before


def test_seam_3_events_are_overheard_and_the_loggers_given_back() -> None:
    manager = get_event_manager()
    before = (manager.loggers, manager.callbacks)
    with invocation.overhearing() as heard:
        fire_event(Note(msg="psst"))
    assert [event.info.name for event in heard] == ["Note"], "EventManager no longer calls .callbacks"
    assert (manager.loggers, manager.callbacks) == before


def test_seam_4_linking_gives_every_node_and_no_edges_for_tests(parsed: Parsed) -> None:
    graph = selection.link(parsed.manifest)
    assert isinstance(graph, Graph)
    assert set(graph.graph) == {node.unique_id for node in contents.everything(parsed.manifest)}, "the graph has other members"
    assert not [edge for edge in graph.graph.edges(data="edge_type") if edge[2]], "Linker.link_graph now draws edges for tests"


def test_seam_5_build_executes_these_types_and_unit_tests_only_with_their_model() -> None:
    kinds = {str(kind.value) for kind in BuildTask.RUNNER_MAP}
    known = {"model", "seed", "snapshot", "test", "unit_test", "saved_query", "exposure", "function"}
    assert kinds <= known, f"dbt build executes a new type: {kinds - known}; look at plan.gates.WAITING and facts_of"
    for name in ("get_selection_spec", "get_node_selector", "get_graph_queue", "build_model_to_unit_test_map"):
        assert hasattr(BuildTask, name), f"BuildTask lost {name}"


def test_seam_6_the_manifest_object_says_what_manifest_json_says(parsed: Parsed) -> None:
    parsed.manifest.write(str(parsed.target_path / "manifest.json"))
    document = json.loads((parsed.target_path / "manifest.json").read_text())
    found = facts(parsed, select(parsed))
    for node in (*found.nodes, *found.inlined):
        entry = next(document[kind][node.id] for kind in contents.COLLECTIONS if node.id in document.get(kind, {}))
        assert node.type == entry["resource_type"]
        assert node.path == entry["original_file_path"]
        assert set(node.parents) == set(entry["depends_on"].get("nodes", ())), "depends_on_nodes is not depends_on.nodes"
        if node.relation:
            assert node.relation == entry["relation_name"]
        if node.severity:
            assert node.severity == entry["config"]["severity"].lower()
        if node.type == "test" and entry.get("attached_node"):
            assert node.tests == entry["attached_node"]
    known = {key for kind in contents.COLLECTIONS for key in document.get(kind, {})}
    assert set(found.parents) == known, "the manifest keeps nodes in a collection that we do not read"


def test_dbt_writes_its_parse_cache_into_the_target_path_alone(tmp_path: Path) -> None:
    random_project(tmp_path / "shop", 1, models=4)
    (tmp_path / "there").mkdir()
    with working_in(tmp_path / "shop"):
        parsed = parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "target")
        (kept,) = (tmp_path / "cache").iterdir()
        before = kept.read_bytes()
        model = next((tmp_path / "shop" / "models").rglob("m1.sql"))
        model.write_text(model.read_text() + "-- changed")
        words = ["--target-path", str(tmp_path / "there"), "--partial-parse-file-path", str(kept)]
        dbtRunner().invoke(["parse", *parsed.arguments(), *words])
    assert kept.read_bytes() == before, "dbt now writes to --partial-parse-file-path: give it a copy"
    assert (tmp_path / "there" / "partial_parse.msgpack").stat().st_size, "dbt writes its cache elsewhere"
