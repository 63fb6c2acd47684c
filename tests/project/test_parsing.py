"""Parsing: what is resolved, what is kept between parses, and that the user's folder stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from dbt.parser.manifest import ManifestLoader
from projects import KINDS, PROFILE, chain, write

from dbt_flow.project.census import census
from dbt_flow.project.facts_of import facts
from dbt_flow.project.parsing import Parsed, database_path, parse
from dbt_flow.project.place import DbtProject, working_in
from dbt_flow.project.selecting import select
from dbt_flow.project.traits import Traits
from dbt_flow.records import Node


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return chain(tmp_path / "shop", "first", "second")


def parsed_of(project: Path, number: int = 0, **place: object) -> Parsed:
    parent = project.parent
    return parse(DbtProject(project, **place), parent / "cache", parent / f"target{number}")  # type: ignore[arg-type]


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_target_is_what_the_profile_says(project: Path) -> None:
    target = parsed_of(project).target
    assert (target.name, target.adapter, target.schema, target.database, target.threads) == ("dev", "duckdb", "main", "shop", 2)
    assert target.path == str(project / "shop.duckdb")


@pytest.mark.parametrize("path", [":memory:", "md:shop", "s3://bucket/shop.duckdb"])
def test_a_database_without_a_local_file_has_no_path(path: str, tmp_path: Path) -> None:
    assert database_path(SimpleNamespace(path=path), tmp_path) is None
    assert database_path(SimpleNamespace(path="../shop.duckdb"), tmp_path / "a") == str(tmp_path / "shop.duckdb")


def test_nothing_is_written_into_the_project_and_the_process_stays_where_it_is(project: Path) -> None:
    before, here = files_in(project), Path.cwd()
    parsed = parsed_of(project)
    assert len(select(parsed, ("first+",))) == 4
    assert files_in(project) == before
    assert Path.cwd() == here


def test_a_parsed_project_does_not_depend_on_where_the_process_goes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.parent)
    parsed = parse(DbtProject(Path("shop")), Path("cache"), Path("target"))
    monkeypatch.chdir("/")
    assert len(select(parsed, ("path:models",))) == 4
    assert parsed.target.path == str(project / "shop.duckdb")
    assert parsed.arguments()[parsed.arguments().index("--project-dir") + 1] == str(project)


def test_working_in_restores_the_folder_even_after_an_error(tmp_path: Path) -> None:
    here = Path.cwd()
    with pytest.raises(KeyError), working_in(tmp_path):
        assert Path.cwd() == tmp_path
        raise KeyError
    assert Path.cwd() == here


def test_the_digest_changes_with_the_project_and_with_nothing_else(project: Path) -> None:
    first = parsed_of(project)
    assert parsed_of(project, 1).manifest_digest == first.manifest_digest
    assert parsed_of(project, 2, vars={"x": 1}).manifest_digest != first.manifest_digest
    (project / "models/first.sql").write_text("select 1 as id, 2 as value -- {{ ref('numbers') }}\n")
    assert parsed_of(project, 3).manifest_digest != first.manifest_digest


def test_the_digest_is_the_same_in_another_folder(project: Path, tmp_path: Path) -> None:
    other = chain(tmp_path / "elsewhere", "first", "second")
    assert parsed_of(other, 1).manifest_digest == parsed_of(project).manifest_digest


def test_the_second_parse_reads_the_first_ones_cache(project: Path) -> None:
    first = parsed_of(project)
    kept = list((project.parent / "cache").iterdir())
    stamp = kept[0].stat()
    second = parsed_of(project, 1)
    assert len(kept) == 1
    assert kept[0].stat().st_mtime_ns == stamp.st_mtime_ns  # nothing changed, so nothing was written
    assert second.manifest.nodes.keys() == first.manifest.nodes.keys()
    assert not list(second.target_path.glob("*.msgpack"))


def test_the_cache_is_nobody_elses_business(project: Path) -> None:
    parsed_of(project)
    (kept,) = (project.parent / "cache").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    assert kept.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"", b"\x00not msgpack", b"\x81\xa5nodes\xc0"])
def test_a_damaged_cache_costs_a_full_parse(project: Path, damage: bytes) -> None:
    parsed_of(project)
    (kept,) = (project.parent / "cache").iterdir()
    kept.write_bytes(damage)
    assert len(select(parsed_of(project, 1))) == 5
    assert kept.stat().st_size > 1000


def test_an_interrupted_parse_is_no_damaged_cache(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed_of(project)
    (kept,) = (project.parent / "cache").iterdir()
    times = []

    def interrupted(*_: object) -> None:
        times.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(ManifestLoader, "load", interrupted)  # dbt catches it, and hands it over as what went wrong
    with pytest.raises(KeyboardInterrupt):
        parsed_of(project, 1)
    assert (len(times), kept.exists()) == (1, True)


def test_a_cache_that_cannot_be_written_costs_the_cache(project: Path) -> None:
    (project.parent / "cache").write_text("a file where the folder should be")
    assert len(select(parsed_of(project))) == 5


def test_a_changed_macro_costs_a_full_parse_and_no_test(tmp_path: Path) -> None:
    """dbt's partial parse drops the tests of a YAML file with models and a snapshot, when a macro that a model uses changes."""
    folder = tmp_path / "shop"
    macro = "{{% macro doubled(x) %}}({{{{ x }}}} * {by}){{% endmacro %}}\n"
    files: dict[str, object] = {
        "seeds/numbers.csv": "id,value\n1,10\n",
        "models/a.sql": "select id, {{ doubled('value') }} as value from {{ ref('numbers') }}\n",
        "macros/doubled.sql": macro.format(by=2),
        "models/schema.yml": {
            "models": [{"name": "a", "columns": [{"name": "id", "data_tests": ["not_null", "unique"]}]}],
            "snapshots": [
                {
                    "name": "a_before",
                    "relation": "ref('a')",
                    "config": {"unique_key": "id", "strategy": "check", "check_cols": ["value"]},
                    "columns": [{"name": "id", "data_tests": ["not_null"]}],
                }
            ],
        },
    }
    write(folder, files)  # type: ignore[arg-type]
    cache = tmp_path / "cache"
    first = {node for node in parse(DbtProject(folder), cache, tmp_path / "one").manifest.nodes if node.startswith("test.")}
    (folder / "macros" / "doubled.sql").write_text(macro.format(by=3), encoding="utf-8")
    again = {node for node in parse(DbtProject(folder), cache, tmp_path / "two").manifest.nodes if node.startswith("test.")}
    assert len(first) == 3
    assert again == first
    assert len(list(cache.glob("*.msgpack"))) == 1


def test_other_vars_and_targets_have_caches_of_their_own(project: Path) -> None:
    outputs = {"dev": PROFILE["shop"]["outputs"]["dev"], "ci": {"type": "duckdb", "path": "ci.duckdb"}}
    write(project, {"profiles.yml": {"shop": {"target": "dev", "outputs": outputs}}})
    parsed_of(project)
    assert parsed_of(project, 1, target="ci").target.path == str(project / "ci.duckdb")
    parsed_of(project, 2, vars={"x": 1})
    assert len(list((project.parent / "cache").iterdir())) == 3


def test_many_processes_share_a_cache(project: Path) -> None:
    words = (
        "import sys; from pathlib import Path; from dbt_flow.project.place import DbtProject; "
        "from dbt_flow.project.parsing import parse; p = Path(sys.argv[1]); "
        "parsed = parse(DbtProject(p), p.parent / 'cache', p.parent / sys.argv[2]); print(len(parsed.manifest.nodes))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen([sys.executable, "-c", words, str(project), name], stdout=subprocess.PIPE, text=True, env=environment)
        for name in ("one", "two")
    ]
    assert [process.communicate(timeout=600)[0].strip() for process in started] == ["5", "5"]
    assert len(list((project.parent / "cache").iterdir())) == 1
    assert len(select(parsed_of(project))) == 5


def test_an_interrupt_is_no_refusal(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt_flow.project.seams import invocation  # noqa: PLC0415

    monkeypatch.setattr(invocation, "ask", lambda words: invocation.Answer(None, KeyboardInterrupt(), {}, (), ()))
    with pytest.raises(KeyboardInterrupt):
        parsed_of(project)


def test_facts_of_every_kind_of_node(tmp_path: Path) -> None:
    parsed = parsed_of(write(tmp_path / "shop", KINDS))
    found = facts(parsed, select(parsed))
    by_id: dict[str, Node] = {node.id: node for node in (*found.nodes, *found.inlined, *found.surroundings)}
    model = by_id["model.shop.facts"]
    assert (model.owner, model.group, model.tags, model.materialized) == ("fact-keepers", "finance", ("money",), "view")
    assert model.relation == '"shop"."main"."facts"'
    assert model.path == "models/facts.sql"
    assert by_id["model.shop.narrow"].owner == "Finance Team"
    assert by_id["model.shop.wide.v2"].name == "wide.v2"
    assert by_id["exposure.shop.board"].owner == "Ann"
    assert by_id["source.shop.raw.orders"].owner == "sources-team"
    assert by_id["source.shop.raw.orders"].name == "raw.orders"
    assert by_id["model.shop.stage"].inlined
    assert by_id["model.shop.stage"].relation is None
    unit = by_id["unit_test.shop.stage.stage_casts"]
    assert (unit.tests, unit.type) == ("model.shop.stage", "unit_test")
    tests = {node.name: node for node in found.nodes if node.type == "test"}
    assert tests["not_null_facts_id"].severity == "warn"
    assert tests["unique_facts_id"].column == "id"
    assert tests["source_unique_raw_orders_id"].tests == "source.shop.raw.orders"
    related = tests["relationships_narrow_id__id__ref_facts_"]
    assert (related.tests, set(related.parents)) == ("model.shop.narrow", {"model.shop.narrow", "model.shop.facts"})


def test_surroundings_are_what_the_selection_reads_and_what_stands_on_it(tmp_path: Path) -> None:
    parsed = parsed_of(write(tmp_path / "shop", KINDS))
    found = facts(parsed, select(parsed, ("facts",)))
    assert {node.id for node in found.nodes if node.type == "model"} == {"model.shop.facts"}
    around = {node.id for node in found.surroundings}
    assert around == {"model.shop.stage", "seed.shop.orders", "model.shop.narrow", "exposure.shop.board"}


def test_a_test_of_two_models_belongs_to_the_same_one_whoever_asks(tmp_path: Path) -> None:
    """The plan, ``lint`` and ``plan --base``: to the one that is built last, in whichever order it reads them."""
    both = "select e.id from {{{{ ref('{}') }}}} e join {{{{ ref('{}') }}}} l using (id) where e.id is null"
    files = {
        "models/early.sql": "select 1 as id",
        "models/late.sql": "select id from {{ ref('early') }}",
        "tests/one_way.sql": both.format("early", "late"),
        "tests/other_way.sql": both.format("late", "early"),
    }
    parsed = parsed_of(write(tmp_path / "shop", files))
    planned = {node.id: node.tests for node in facts(parsed, select(parsed)).nodes if node.is_test}
    assert set(planned) == {"test.shop.one_way", "test.shop.other_way"}
    members, traits = census(parsed).members, Traits(parsed)
    for key, tested in planned.items():
        assert (tested, members[key].tests, traits.tested(key)) == ("model.shop.late",) * 3, key
