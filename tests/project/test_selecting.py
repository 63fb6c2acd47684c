"""What dbt complains of in a selection, and what it leaves out without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import SELECTORS, chain, write

from dbt_flow.errors import ProjectError
from dbt_flow.project.parsing import Parsed, parse
from dbt_flow.project.place import DbtProject
from dbt_flow.project.seams import selection
from dbt_flow.project.selecting import select, selection_of


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    folder = tmp_path_factory.mktemp("selecting")
    chain(folder / "shop", "a", "b", "c")
    write(folder / "shop", {"selectors.yml": SELECTORS})
    return parse(DbtProject(folder / "shop"), folder / "cache", folder / "target")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"include": ("foo:x",)}, "'foo' is not a valid method name"),
        ({"exclude": ("foo:x",)}, "'foo' is not a valid method name"),
        ({"include": ("@a+",)}, 'Invalid node spec @a+ - "@" prefix and "+" suffix are incompatible'),
        ({"selector": "nope"}, "Could not find selector named nope, expected one of"),
        ({"include": ("state:modified",)}, "Got a state selector method, but no comparison manifest"),
        ({"include": ("result:error",)}, "No comparison run_results"),
        ({"include": ("a",), "selector": "risky"}, "selector risky stands beside select or exclude"),
    ],
)
def test_what_dbt_refuses(parsed: Parsed, asked: dict[str, object], message: str) -> None:
    with pytest.raises(ProjectError) as caught:
        select(parsed, **asked)  # type: ignore[arg-type]
    assert caught.value.code == "dbt-selector"
    assert message in caught.value.message
    assert "Runtime Error" not in str(caught.value)
    assert caught.value.hint


def test_a_criterion_that_matches_nothing_is_told_and_dbt_goes_on(parsed: Parsed) -> None:
    found = selection_of(parsed, ("a", "tag:typo"))
    assert {key.split(".")[2] for key in found.ids} == {"a", "not_null_a_id"}
    assert found.unmatched == ("The selection criterion 'tag:typo' does not match any enabled nodes",)


def test_line_ends_and_spaces_from_yaml_do_no_harm(parsed: Parsed) -> None:
    assert select(parsed, ("a\n  b  ",)) == select(parsed, ("a", "b"))


def test_a_default_selector_is_left_out_when_something_is_selected(tmp_path: Path) -> None:
    chain(tmp_path / "shop", "a", "b")
    selectors = "selectors:\n  - {name: usual, default: true, definition: 'fqn:a'}\n"
    write(tmp_path / "shop", {"selectors.yml": selectors})
    parsed = parse(DbtProject(tmp_path / "shop"), tmp_path / "cache", tmp_path / "target")
    assert {key for key in select(parsed) if key.startswith("model")} == {"model.shop.a"}
    assert {key for key in select(parsed, ("b",)) if key.startswith("model")} == {"model.shop.b"}
    assert {key for key in select(parsed, (), ("b",)) if key.startswith("model")} == {"model.shop.a"}


def test_dbts_own_environment_counts(parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_INDIRECT_SELECTION", "empty")
    assert select(parsed, ("a",)) == {"model.shop.a"}
    monkeypatch.setenv("DBT_EXCLUDE_RESOURCE_TYPES", "test")
    monkeypatch.delenv("DBT_INDIRECT_SELECTION")
    assert select(parsed, ("a",)) == {"model.shop.a"}


def test_many_selections_link_the_graph_once(parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = parsed.graph
    monkeypatch.setattr(selection, "link", lambda manifest: pytest.fail("linked again"))
    assert select(parsed, ("a",)) < select(parsed, ("a+",))


def test_selecting_says_nothing_on_the_terminal(parsed: Parsed, capfd: pytest.CaptureFixture[str]) -> None:
    select(parsed, ("tag:typo",))
    assert capfd.readouterr() == ("", "")
