"""Each way in which dbt refuses a project, as a tiny broken project: its code, its place, and what to type next."""

# ruff: noqa: E501 - a table of broken projects, one in a line

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.exceptions import DbtUsageException
from projects import PROFILE, PROJECT, chain, write

from dbt_flow.errors import CODES, ProjectError
from dbt_flow.project.parsing import parse
from dbt_flow.project.place import DbtProject
from dbt_flow.project.refusals import cleaned, refusal

OUT = PROFILE["shop"]["outputs"]
UNSET = "{{ env_var('SHOP_NO_SUCH') }}"


def profile(**output: Any) -> dict[str, Any]:
    return {"profiles.yml": {"shop": {"target": "dev", "outputs": {"dev": output}}}}


BROKEN: dict[str, tuple[dict[str, Any], str, str, str]] = {
    # what is broken: files, code, place, a piece of the message or hint
    "dbt_project.yml is no YAML": ({"dbt_project.yml": "name: shop\nversion: [1.0\nprofile: shop\n"}, "dbt-project", "dbt_project.yml:3:8", "not YAML"),
    "no name": ({"dbt_project.yml": "version: '1.0'\nprofile: shop\n"}, "dbt-project", "dbt_project.yml", '"name"'),
    "a bad name": ({"dbt_project.yml": {**PROJECT, "name": "my-shop"}}, "dbt-project", "dbt_project.yml:1", "my-shop"),
    "a list for a mapping": ({"dbt_project.yml": {**PROJECT, "models": ["x"]}}, "dbt-project", "dbt_project.yml:8", "object"),
    "an empty project": ({"dbt_project.yml": ""}, "dbt-project", "dbt_project.yml", "dictionary"),
    "another dbt": ({"dbt_project.yml": {**PROJECT, "require-dbt-version": ">=9.0.0"}}, "dbt-project", "dbt_project.yml:8", "pip install 'dbt-core>=9.0.0'"),
    "env_var in the project": ({"dbt_project.yml": {**PROJECT, "models": {"+schema": UNSET}}}, "dbt-project", "dbt_project.yml:9", "export SHOP_NO_SUCH="),
    "no profile named": ({"dbt_project.yml": "name: shop\nversion: '1.0'\n"}, "dbt-profile", "dbt_project.yml", "profile: NAME"),
    "an unknown profile": ({"profiles.yml": {"other": PROFILE["shop"]}}, "dbt-profile", "dbt_project.yml:3", "it has other"),
    "an empty profiles.yml": ({"profiles.yml": ""}, "dbt-profile", "profiles.yml", "empty"),
    "profiles.yml is no YAML": ({"profiles.yml": "shop:\n  outputs: [\n"}, "dbt-profile", "profiles.yml:3:1", "not YAML"),
    "no outputs": ({"profiles.yml": {"shop": {"target": "dev"}}}, "dbt-profile", "profiles.yml", "outputs"),
    "an unknown target": ({"profiles.yml": {"shop": {"target": "prod", "outputs": OUT}}}, "dbt-profile", "profiles.yml:2", "--target dev"),
    "an adapter that is not there": (profile(type="redshift", host="x"), "dbt-adapter", "profiles.yml:5", "pip install dbt-redshift"),
    "threads that are no number": (profile(type="duckdb", path="x.duckdb", threads="many"), "dbt-profile", "profiles.yml", "threads"),
    "env_var in the profile": (profile(type="duckdb", path=UNSET), "dbt-profile", "profiles.yml:6", "export SHOP_NO_SUCH="),
    "packages not installed": ({"packages.yml": "packages:\n  - {package: dbt-labs/dbt_utils, version: 1.3.0}\n"}, "dbt-packages", "packages.yml", "dbt deps"),
    "env_var in a model": ({"models/a.sql": f"select 1 as id\n, '{UNSET}' as x"}, "dbt-parse", "models/a.sql:2", "export SHOP_NO_SUCH="),
    "Jinja without an end": ({"models/a.sql": "select 1\n{% if x %}\nselect 2"}, "dbt-parse", "models/a.sql:2", "endif"),
    "a macro without an end": ({"macros/m.sql": "\n{% macro x() %}\nselect 1\n"}, "dbt-parse", "macros/m.sql:2", "close tag"),
    "an unknown ref": ({"models/a.sql": "select 1\nfrom {{ ref('nothing') }}"}, "dbt-parse", "models/a.sql:2", "nothing"),
    "an unknown source": ({"models/a.sql": "select 1\nfrom {{ source('x', 'nothing') }}"}, "dbt-parse", "models/a.sql:2", "x.nothing"),
    "a bad config": ({"models/a.sql": "{{ config(enabled='maybe') }} select 1"}, "dbt-parse", "models/a.sql:1", "maybe"),
    "properties that are no YAML": ({"models/s.yml": "models:\n  - name: a\n   columns: []\n"}, "dbt-parse", "models/s.yml:3:4", "not YAML"),
    "properties that are no list": ({"models/s.yml": "models:\n  name: a\n"}, "dbt-parse", "models/s.yml:1", "not a list"),
    "an unknown doc": ({"models/s.yml": "models:\n  - name: a\n    description: \"{{ doc('nope') }}\"\n"}, "dbt-parse", "models/s.yml:3", "nope"),
    "a unit test of nothing": ({"models/s.yml": "unit_tests:\n  - {name: u, model: nope, given: [], expect: {rows: []}}\n"}, "dbt-parse", "models/s.yml:2", "nope"),
    "two models of one name": ({"models/x/a.sql": "select 2 as id"}, "dbt-parse", "a.sql", "two models with the name"),
    "a Python model that is none": ({"models/p.py": "def model(dbt, session)\n  return 1\n"}, "dbt-parse", "models/p.py:1", "expected ':'"),
    "a bad selector": ({"selectors.yml": "selectors:\n  - name: x\n    definition: [a]\n"}, "dbt-selector", "selectors.yml", "selector"),
    "selectors.yml is no YAML": ({"selectors.yml": "selectors:\n  - name: x\n   definition: a\n"}, "dbt-selector", "selectors.yml:3", "not YAML"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_project_says_what_where_and_what_to_type(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, code, place, piece = BROKEN[what]
    write(tmp_path / "shop", {"models/a.sql": "select 1 as id", **files})
    monkeypatch.chdir(tmp_path / "shop")
    with pytest.raises(ProjectError) as caught:
        parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "target")
    error = caught.value
    assert error.code == code
    assert error.code in CODES
    assert str(error.place).startswith(place) or (":" not in place and str(error.place).endswith(place)), error.place
    assert piece in str(error)
    assert error.hint
    assert not re.search(r"\x1b|Traceback|Encountered an error|Runtime Error|Parsing Error|Compilation Error", str(error))
    assert Path.cwd() == tmp_path / "shop"


def test_a_folder_without_a_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"there is no dbt_project\.yml") as caught:
        parse(DbtProject(tmp_path), tmp_path / "cache", tmp_path / "target")
    assert caught.value.code == "dbt-project"


def test_a_profile_in_no_searched_folder_names_the_folders(tmp_path: Path) -> None:
    project = chain(tmp_path / "shop", "a")
    (project / "profiles.yml").rename(tmp_path / "profiles.yml")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProjectError, match=r"there is no profiles\.yml with the profile shop; looked in .*empty") as caught:
        parse(DbtProject(project, profiles_dir=tmp_path / "empty"), tmp_path / "cache", tmp_path / "target")
    assert caught.value.code == "dbt-profile"
    parse(DbtProject(project, profiles_dir=tmp_path), tmp_path / "cache", tmp_path / "target")


def test_a_target_that_was_asked_for_and_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    project = write(
        tmp_path / "shop", {"profiles.yml": {"shop": {"target": "dev", "outputs": {"dev": OUT["dev"], "ci": OUT["dev"]}}}}
    )
    with pytest.raises(ProjectError, match="has no target prod; it has dev, ci"):
        parse(DbtProject(project, target="prod"), tmp_path / "cache", tmp_path / "target")


def test_models_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path / "shop", {"models/a.sql": "select * from {{ ref('b') }}", "models/b.sql": "select * from {{ ref('a') }}"})
    parsed = parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "target")
    with pytest.raises(ProjectError, match=r"circle: shop\.\w -> shop\.\w -> shop\.\w"):
        _ = parsed.graph


def test_no_password_is_shown(tmp_path: Path) -> None:
    write(tmp_path / "shop", profile(type="duckdb", path="x.duckdb", schema=["hunter2"]))
    with pytest.raises(ProjectError) as caught:
        parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "target")
    assert "hunter2" not in str(caught.value)
    write(tmp_path / "shop", {"profiles.yml": "shop:\n  outputs:\n    dev:\n      password: [hunter2\n      x: 1\n"})
    with pytest.raises(ProjectError) as caught:
        parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "target")
    assert "hunter2" not in str(caught.value)


def test_a_locked_database_names_its_holder(tmp_path: Path) -> None:
    text = 'IO Error: Could not set lock on file "/data/shop.duckdb": Conflicting lock is held in /usr/bin/python3 (PID 4711).'
    error = refusal(RuntimeError(text), DbtProject(tmp_path), code="warehouse")
    assert error.code == "database-locked"
    assert "the process 4711 holds the DuckDB file /data/shop.duckdb" in error.message


def test_dbts_headings_and_colours_go_and_its_words_stay() -> None:
    assert cleaned("\x1b[31mEncountered an error:\x1b[0m\nRuntime Error\n  it is so\n\n    and so\n") == "it is so\nand so"


def test_a_machine_without_a_dbt_folder_is_told_of_the_profile(tmp_path: Path) -> None:
    project = chain(tmp_path / "shop", "a")
    (project / "profiles.yml").unlink()
    complaint = DbtUsageException("Path 'somewhere/.dbt' does not exist")  # dbt's words when even the folder is missing
    error = refusal(complaint, DbtProject(project))
    assert (error.code, error.place and error.place.line) == ("dbt-profile", 3)
    assert "there is no profiles.yml" in error.message
    assert "--profiles-dir" in str(error.hint)
