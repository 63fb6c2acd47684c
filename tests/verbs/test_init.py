"""``dbt-flow init``: from a dbt project to a first DAG, and never over what somebody wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import chain

from dbt_flow.cli import main
from dbt_flow.settings import load_settings
from dbt_flow.spec import load_fleet

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "dbt_flow" / "project" / "macros" / "in_dag.sql"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_project_below_gets_a_dag_that_is_good(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain(here / "store", "a", "b")
    assert main(["init", "--owner", "data-team"]) == 0
    told = capsys.readouterr().out
    assert "profile shop" in told
    assert "targets: dev" in told
    assert "dbt-flow run shop" in told
    fleet = load_fleet(load_settings(start=here))
    assert not fleet.errors
    assert [(dag.name, dag.owner, dag.select) for dag in fleet.dags] == [("shop", "data-team", ("package:this",))]
    assert main(["validate", "--project"]) == 0  # dbt agrees, and selects something


def test_inside_a_project_the_project_is_the_root(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = chain(here / "store", "a")
    monkeypatch.chdir(project / "models")
    assert main(["init"]) == 0
    assert (project / "dbt_flow.yml").is_file()
    assert (project / "dags" / ".schema.json").is_file()


def test_what_is_there_is_kept_unless_forced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain(here / "store", "a")
    assert main(["init"]) == 0
    mine = here / "dags" / "shop.yaml"
    mine.write_text("owner: me\nselect: a\n", encoding="utf-8")
    assert main(["init"]) == 2
    assert "--force" in capsys.readouterr().err
    assert mine.read_text(encoding="utf-8") == "owner: me\nselect: a\n"
    assert main(["init", "--force"]) == 0
    assert "package:this" in mine.read_text(encoding="utf-8")


def test_the_macro_is_written_where_the_project_keeps_macros(here: Path) -> None:
    project = chain(here / "store", "a")
    assert main(["init", "--macro"]) == 0
    assert (project / "macros" / "in_dag.sql").read_text(encoding="utf-8") == SHIPPED.read_text(encoding="utf-8")


def test_the_example_uses_the_macro_that_is_shipped() -> None:
    example = ROOT / "dbt_project" / "macros" / "in_dag.sql"
    assert example.read_text(encoding="utf-8") == SHIPPED.read_text(encoding="utf-8")


def test_several_projects_or_none_are_refused_with_what_to_type(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 2
    assert "dbt init" in capsys.readouterr().err
    chain(here / "store", "a")
    chain(here / "depot", "a")
    assert main(["init"]) == 2
    told = capsys.readouterr().err
    assert "depot, store" in told
    assert "--project-dir" in told


def test_a_missing_profile_is_told_and_costs_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = chain(here / "store", "a")
    (project / "profiles.yml").unlink()
    assert main(["--profiles-dir", str(project), "init"]) == 0
    assert "no profiles.yml has the profile shop" in capsys.readouterr().err
