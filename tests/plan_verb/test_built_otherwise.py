"""``plan --base``: what the next runs build otherwise, and because of what; the forms of the answer; what is refused."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from fleet_in_git import Desk
from projects import write

PACKAGE = {"packages": [{"local": "../shared"}]}


def built(document: dict[str, Any], dag: str) -> tuple[dict[str, str], set[str]]:
    """Of a DAG: the changed nodes with the reason, and what stands on them."""
    (one,) = [one for one in document["rebuild"] if one["dag"] == dag]
    changed = {node["name"]: node["because"][0]["text"] for node in one["changed"]}
    return changed, {node["name"] for node in one["below"]}


def test_changed_sql_reaches_what_stands_on_it_in_every_dag(desk: Desk) -> None:
    desk.put("models/stage.sql", "select id, value\n", "select id, value + 1 as value\n")
    document = desk.changes()
    assert built(document, "daily") == ({"stage": "SQL"}, {"orders", "totals", "unique_orders_id"})
    assert built(document, "hourly") == ({}, {"board", "not_null_board_total"})
    (because,) = document["rebuild"][0]["changed"][0]["because"]
    assert (because["file"], because["line"]) == ("models/stage.sql", 2)
    assert document["nodes"] == []


def test_a_changed_config(desk: Desk) -> None:
    desk.put("models/totals.sql", "'table'", "'view'")
    changed, _ = built(desk.changes(), "daily")
    assert changed == {"totals": "materialized: table -> view"}
    desk.put("models/totals.sql", "sum(value)", "max(value)")
    changed, _ = built(desk.changes(), "daily")
    assert changed == {"totals": "SQL; materialized: table -> view"}


def test_a_changed_macro_names_itself(desk: Desk) -> None:
    desk.put("macros/twice.sql", "* 2", "* 2.0")
    document = desk.changes()
    changed, below = built(document, "daily")
    assert (changed, below) == ({"orders": "macro twice"}, {"totals", "unique_orders_id"})
    assert document["rebuild"][0]["changed"][0]["because"][0]["file"] == "macros/twice.sql"


def test_a_changed_seed_and_a_model_that_no_dag_builds(desk: Desk) -> None:
    desk.put("seeds/numbers.csv", "2,20", "2,21")
    desk.put("models/loose.sql", "1 as one", "2 as one")
    document = desk.changes()
    assert {node["name"]: node["because"][0]["text"] for node in document["in_no_dag"]} == {"numbers": "data", "loose": "SQL"}
    assert built(document, "daily") == ({}, {"stage", "orders", "totals", "unique_orders_id"})


def test_the_working_tree_is_compared_and_not_only_what_is_committed(desk: Desk) -> None:
    desk.git("checkout", "-q", "-b", "work")
    desk.put("models/stage.sql", "select id, value\n", "select id, -value as value\n")
    desk.git("commit", "-qam", "Committed")
    desk.put("models/loose.sql", "1 as one", "3 as one")
    (desk.folder / "models/untracked.sql").write_text("{{ config(tags=['daily']) }} select 1 as one\n")
    before = desk.git("status", "--porcelain")
    document = desk.changes(base="main")
    assert set(built(document, "daily")[0]) == {"stage", "untracked"}
    assert [node["name"] for node in document["in_no_dag"]] == ["loose"]
    assert desk.git("status", "--porcelain") == before
    assert desk.git("worktree", "list").count("\n") == 0


def test_what_the_base_has_since_is_told_apart(desk: Desk) -> None:
    desk.git("checkout", "-q", "-b", "behind")
    desk.git("checkout", "-q", "main")
    desk.put("dags/daily.yaml", "owner: ann", "owner: bob")
    desk.git("commit", "-qam", "Since then")
    try:
        desk.git("checkout", "-q", "behind")
        document = desk.changes(base="main")
        assert [(one["before"], one["now"]) for one in document["keys"]] == [("bob", "ann")]
        assert "main has 1 commit that your work has not" in document["notes"][0]
        assert desk.changes(base="main...")["changes"] is False
    finally:
        desk.git("checkout", "-q", "main")
        desk.git("reset", "-q", "--hard", "HEAD~1")


def test_installed_packages_serve_both_states(desk: Desk) -> None:
    shared = desk.folder.parent / "shared"
    write(shared, {"models/from_package.sql": "select 1 as one\n"}, name="shared")
    write(desk.folder / "dbt_packages/shared", {"models/from_package.sql": "select 1 as one\n"}, name="shared")
    try:
        (desk.folder / "packages.yml").write_text("packages: [{local: ../shared}]\n")
        (desk.folder / ".git/info/exclude").write_text("dbt_packages/\n")
        desk.git("add", "packages.yml")
        desk.git("commit", "-qm", "A package")
        desk.put("models/stage.sql", "select id, value\n", "select id, 3 as value\n")
        document = desk.changes()
        assert set(built(document, "daily")[0]) == {"stage"}
        assert document["notes"] == []
        shutil.rmtree(desk.folder / "dbt_packages")
        code, _, err = desk.ask("plan", "--base", "HEAD")
        assert (code, "dbt deps" in err) == (2, True)
    finally:
        (desk.folder / ".git/info/exclude").write_text("")
        desk.git("reset", "-q", "--hard", "HEAD~1")


def test_markdown_is_a_comment(desk: Desk) -> None:
    desk.put("models/orders.sql", "['daily']", "['hourly']")
    desk.put("dags/daily.yaml", '"0 6 * * *"', '"30 5 * * *"')
    code, out, _ = desk.ask("plan", "--base", "HEAD", "--markdown")
    assert code == 0
    assert "| `daily` | `trigger.schedule` | `0 6 * * *` | `30 5 * * *` | `dags/daily.yaml:3` |" in out
    assert "| `orders` and 1 test | moves from daily to hourly | tag hourly added and tag daily removed |" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--base", "nosuch"), "git knows no revision nosuch"),
        (("--base", "--oops"), "git knows no revision --oops"),
        (("--base", "origin/main"), "git fetch origin main"),
        (("dayly", "--base", "HEAD"), "did you mean daily?"),
        (("--base", "HEAD", "--resolved"), "--resolved does not go with --base"),
        (("--markdown", "daily"), "dbt-flow plan --base main --markdown"),
        (("daily", "hourly"), "several DAGs are named"),
        ((), "dbt-flow plan DAG"),
    ],
)
def test_what_is_wrong_is_one_clear_error(desk: Desk, words: tuple[str, ...], told: str) -> None:
    code, out, err = desk.ask("plan", *words)
    assert (code, out) == (2, "")
    assert err.count("error:") == 1
    assert told in err


def test_a_folder_without_git(tmp_path: Any, desk: Desk) -> None:
    shutil.copytree(desk.folder, tmp_path / "bare", ignore=shutil.ignore_patterns(".git", ".dbt_flow"))
    code, _, err = Desk(tmp_path / "bare", desk.captured).ask("plan", "--base", "HEAD")
    assert code == 2
    assert "lies in no git repository" in err


def test_a_base_that_dbt_refuses_is_told_as_such(desk: Desk) -> None:
    desk.put("models/board.sql", "ref('totals')", "ref('nowhere')")
    desk.git("commit", "-qam", "Broken")
    try:
        desk.put("models/board.sql", "ref('nowhere')", "ref('totals')")
        code, _, err = desk.ask("plan", "--base", "HEAD")
        assert code == 2
        assert "at HEAD: " in err
        assert "nowhere" in err
        assert "revisions" not in err
    finally:
        desk.git("reset", "-q", "--hard", "HEAD~1")


def test_a_base_without_any_of_it(desk: Desk) -> None:
    desk.git("checkout", "-q", "--orphan", "empty")
    desk.git("rm", "-rfq", "--cached", ".")
    desk.git("commit", "-q", "--allow-empty", "-m", "Nothing yet")
    try:
        document = desk.changes()
        assert {dag["name"] for dag in document["dags"]["added"]} == {"daily", "hourly"}
        assert "every DAG is new" in document["notes"][0]
    finally:
        desk.git("checkout", "-qf", "main")
        desk.git("branch", "-D", "empty")
