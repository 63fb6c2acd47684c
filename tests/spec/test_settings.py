"""Where the root is, who wins, and what dbt_flow.yml may say."""

from __future__ import annotations

from pathlib import Path

import pytest
from spec_root import Root, flat

from dbt_flow.errors import DbtFlowError, flatten
from dbt_flow.settings import KEYS, NOT_YET, VARIABLES, Flags, find_root, load_settings


def test_the_root_is_found_upwards(root: Root) -> None:
    below = root.write("dbt_project/models/deep/x.sql", "").parent
    assert find_root(below) == root.folder
    settings = load_settings(start=below, environ={})
    assert settings.dbt_projects == (root.folder / "dbt_project",)
    assert (settings.dags, settings.state) == (root.folder / "dags", root.folder / ".dbt_flow")
    assert settings.project == "freight_test"
    assert settings.owners == {"team": {"email": "team@freight.example"}}
    assert settings.shown(root.folder / "dags/x.yaml") == "dags/x.yaml"


def test_a_dbt_project_is_a_root_of_its_own(root: Root) -> None:
    (root.folder / "dbt_flow.yml").unlink()
    settings = load_settings(start=root.folder / "dbt_project", environ={})
    assert (settings.root, settings.dbt_project, settings.file) == (root.folder / "dbt_project",) * 2 + (None,)


def test_a_project_dir_needs_no_settings_file(root: Root, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "dbt_project.yml").write_text("name: other\n")
    settings = load_settings(Flags(project_dir=str(elsewhere)), start=root.folder, environ={})
    assert (settings.root, settings.dbt_projects, settings.project) == (elsewhere, (elsewhere,), "other")
    inside = load_settings(Flags(project_dir="dbt_project"), start=root.folder, environ={})
    assert (inside.root, inside.dbt_project) == (root.folder, root.folder / "dbt_project")


def test_flag_then_variable_then_file_then_default(root: Root) -> None:
    root.write("dbt_flow.yml", "state: from_file\nproject: from_file\n")
    at = root.folder

    def state(flags: Flags, environ: dict[str, str]) -> Path:
        return load_settings(flags, start=at, environ=environ).state

    assert state(Flags(state="flag"), {"DBT_FLOW_STATE": "variable"}) == at / "flag"
    assert state(Flags(), {"DBT_FLOW_STATE": "variable"}) == at / "variable"
    assert state(Flags(), {}) == at / "from_file"
    assert load_settings(start=at, environ={"DBT_FLOW_PROJECT": "said"}).project == "said"


def test_several_projects(root: Root) -> None:
    root.write("other/dbt_project.yml", "name: other\n")
    root.write("dbt_flow.yml", "dbt_projects: [other, dbt_project]\nflows: [training/a.py]\n")
    settings = root.settings
    assert settings.dbt_projects == (root.folder / "other", root.folder / "dbt_project")
    assert settings.flows == (root.folder / "training/a.py",)
    assert settings.project == "other"


def test_flows_with_their_teams(root: Root) -> None:
    root.write("dbt_flow.yml", "owners: {ml: {}}\nflows: {training/a.py: ml}\n")
    settings = root.settings
    assert settings.flows == (root.folder / "training/a.py",) and settings.flow_owners == {settings.flows[0]: "ml"}
    assert refused(root, "owners: {ml: {}}\nflows:\n  a.py: lm\n") == [("unknown-owner", "dbt_flow.yml", 3, 9)]


def test_an_empty_settings_file_is_a_root(root: Root) -> None:
    root.write("dbt_flow.yml", "")
    assert root.settings.root == root.folder


def refused(root: Root, text: str) -> list[tuple[object, ...]]:
    root.write("dbt_flow.yml", text)
    with pytest.raises(DbtFlowError) as caught:
        load_settings(start=root.folder, environ={})
    assert all(error.hint for error in flatten(caught.value))
    return [flat(error) for error in flatten(caught.value)]


def test_all_that_is_wrong_with_the_file_at_once(root: Root) -> None:
    text = "ownrs: {}\ndags: 5\nflows: [1]\ndbt_projects: [gone]\nowners: {a: {mail: x, email: 5}, b: 7}\nproject: My-Project\n"
    assert refused(root, text) == [
        ("unknown-key", "dbt_flow.yml", 1, 1),
        ("bad-value", "dbt_flow.yml", 4, 16),
        ("bad-value", "dbt_flow.yml", 6, 10),
        ("wrong-type", "dbt_flow.yml", 2, 7),
        ("wrong-type", "dbt_flow.yml", 3, 8),
        ("unknown-key", "dbt_flow.yml", 5, 14),
        ("wrong-type", "dbt_flow.yml", 5, 30),
        ("wrong-type", "dbt_flow.yml", 5, 37),
    ]


@pytest.mark.parametrize("key", NOT_YET)
def test_settings_without_effect_are_refused(root: Root, key: str) -> None:
    assert refused(root, f"{key}: {{}}\n") == [("not-yet", "dbt_flow.yml", 1, 1)]


def test_a_settings_file_that_is_not_yaml(root: Root) -> None:
    assert refused(root, "owners: [\n") == [("yaml-syntax", "dbt_flow.yml", 2, 1)]


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (Flags(root="gone"), "no such folder"),
        (Flags(project_dir="dags"), "has no dbt_project.yml"),
        (Flags(profiles_dir="gone"), "no such folder"),
    ],
)
def test_flags_that_name_nothing(root: Root, flags: Flags, word: str) -> None:
    with pytest.raises(DbtFlowError, match=word) as caught:
        load_settings(flags, start=root.folder, environ={})
    assert caught.value.code == "no-project"


def test_nowhere(tmp_path: Path) -> None:
    with pytest.raises(DbtFlowError) as caught:
        find_root(tmp_path)
    assert caught.value.code == "no-project"
    assert "dbt-flow init" in caught.value.hint
    (tmp_path / "dbt_flow.yaml").write_text("")
    with pytest.raises(DbtFlowError) as caught:
        find_root(tmp_path)
    assert caught.value.hint == "rename it to dbt_flow.yml"


def test_every_key_and_variable_has_a_sentence() -> None:
    assert all(len(sentence) > 10 for sentence in [*KEYS.values(), *VARIABLES.values(), *NOT_YET.values()])
    assert set(NOT_YET) <= set(KEYS)
