"""``dbt-flow init``: from a dbt project to a first DAG, and never over what somebody wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from projects import chain, write

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
    assert [(dag.name, dag.owner, dag.select) for dag in fleet.dags] == [("shop", "data-team", ("*",))]
    assert (here / "dags/shop.yaml").read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=.schema.json\n")
    assert main(["validate", "--project"]) == 0  # dbt agrees, and selects something


def test_inside_a_project_the_project_is_the_root(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = chain(here / "store", "a")
    monkeypatch.chdir(project / "models")
    assert main(["init"]) == 0
    assert (project / "dbt_flow.yml").is_file()
    assert (project / "dags" / ".schema.json").is_file()


def test_what_is_there_is_kept_and_what_is_missing_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain(here / "store", "a")
    (here / "dags").mkdir()
    mine = here / "dags" / "mine.yaml"
    mine.write_text("owner: me\nselect: a\n", encoding="utf-8")
    assert main(["init"]) == 0
    assert mine.read_text(encoding="utf-8") == "owner: me\nselect: a\n"
    assert sorted(path.name for path in (here / "dags").iterdir()) == [".schema.json", "mine.yaml"]
    assert "dbt-flow run mine" in capsys.readouterr().out
    settings = here / "dbt_flow.yml"
    settings.write_text(settings.read_text(encoding="utf-8") + "sample_rows: 3\n", encoding="utf-8")
    before = settings.read_text(encoding="utf-8")
    assert main(["init", "--ci"]) == 0
    assert settings.read_text(encoding="utf-8") == before
    assert (here / ".github/workflows/dbt-flow.yml").is_file()


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


def test_a_missing_profile_is_told_and_can_be_had(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here / "nobody"))
    project = chain(here / "store", "a")
    (project / "profiles.yml").unlink()
    assert main(["init"]) == 0
    captured = capsys.readouterr()
    assert "no profiles.yml has the profile shop" in captured.err
    assert "dbt-flow init --duckdb" in captured.out
    assert main(["init", "--duckdb"]) == 0
    profile = yaml.safe_load((project / "profiles.yml").read_text(encoding="utf-8"))
    assert profile["shop"]["outputs"]["dev"]["type"] == "duckdb"
    assert main(["validate", "--project"]) == 0
    (project / "profiles.yml").write_text("other: {}\n", encoding="utf-8")
    assert main(["init", "--duckdb"]) == 2
    assert (project / "profiles.yml").read_text(encoding="utf-8") == "other: {}\n"


def test_packages_that_are_missing_are_installed(here: Path) -> None:
    package = write(here / "more" / "helpful", {"macros/one.sql": "{% macro one() %}1{% endmacro %}"}, name="helpful")
    (package / "profiles.yml").unlink()
    write(
        here / "store",
        {"models/a.sql": "select {{ helpful.one() }} as id", "packages.yml": {"packages": [{"local": "../more/helpful"}]}},
    )
    assert main(["init", "--project-dir", "store", "--no-deps"]) == 0
    assert not (here / "store/dbt_packages").exists()
    assert main(["init", "--project-dir", "store"]) == 0
    assert (here / "store/dbt_packages/helpful").exists()
    assert main(["validate", "--project"]) == 0


def test_hooks_are_written_or_added_and_nothing_else_is_changed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / ".git").mkdir()
    chain(here / "store", "a")
    config = here / ".pre-commit-config.yaml"
    assert main(["init", "--pre-commit"]) == 0
    alone = yaml.safe_load(config.read_text(encoding="utf-8"))
    assert [hook["id"] for repo in alone["repos"] for hook in repo["hooks"]] == ["dbt-flow-validate", "dbt-flow-lint"]
    mine = "# ours\nrepos:\n- repo: https://example.com/x   # pinned\n  rev: v1\n  hooks: [{id: x}]\nfail_fast: true\n"
    config.write_text(mine, encoding="utf-8")
    assert main(["init", "--pre-commit"]) == 0
    text = config.read_text(encoding="utf-8")
    assert set(mine.splitlines()) <= set(text.splitlines())
    both = yaml.safe_load(text)
    assert both["repos"] == [*alone["repos"], yaml.safe_load(mine)["repos"][0]]
    assert both["fail_fast"] is True
    assert main(["init", "--pre-commit"]) == 0
    assert config.read_text(encoding="utf-8") == text  # they are there: nothing is added twice
    config.write_text("repos: []\n", encoding="utf-8")
    assert main(["init", "--pre-commit"]) == 2
    assert "dbt-flow-validate" in capsys.readouterr().err
    assert config.read_text(encoding="utf-8") == "repos: []\n"


def test_the_workflow_says_what_this_version_understands(here: Path) -> None:
    """Hooks and workflow lie at the top of the repository, and name the root where that is another."""
    (here / ".git").mkdir()
    project = chain(here / "data" / "store", "a")
    assert main(["init", "--project-dir", str(project), "--ci", "--pre-commit"]) == 0
    steps = yaml.safe_load((here / ".github/workflows/dbt-flow.yml").read_text(encoding="utf-8"))["jobs"]["check"]["steps"]
    commands = [step["run"] for step in steps if str(step.get("run", "")).startswith("dbt-flow")]
    assert [command.split()[:3] for command in commands] == [["dbt-flow", "--root", "data/store"]] * 3
    hooks = yaml.safe_load((here / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert hooks[0]["entry"] == "dbt-flow --root data/store validate"
    assert hooks[0]["files"] == r"^(data/store/dags/|data/store/dbt_flow\.yml$)"


def test_what_runs_leave_is_kept_out_of_git_and_the_first_dag_has_no_finding(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = chain(here / "store", "a")
    (here / ".git").mkdir()
    (project / ".gitignore").write_text("target/\n.metaflow", encoding="utf-8")
    assert main(["init", "--project-dir", str(project)]) == 0
    root = project if (project / "dbt_flow.yml").exists() else here
    ignored = root / ".gitignore"
    said = ignored.read_text(encoding="utf-8")
    assert {".metaflow", ".*.duckdb.lock", ".*.duckdb.holder"} <= {line.strip("/") for line in said.splitlines()}
    assert "added to" in capsys.readouterr().out
    dag = (root / "dags" / "shop.yaml").read_text(encoding="utf-8")
    assert "trigger: none" in dag, "lint would ask for one"
    assert main(["init", "--project-dir", str(project)]) == 0
    assert ignored.read_text(encoding="utf-8") == said
    assert "added to" not in capsys.readouterr().out
