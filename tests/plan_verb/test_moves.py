"""``plan --base``: which DAG builds what, and because of what; one fact each."""

from __future__ import annotations

from typing import Any

import pytest
from fleet_in_git import Desk


def moved(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [node for node in document["nodes"] if node["name"] == name]
    return found


def why(node: dict[str, Any]) -> tuple[str, str, str | None, int | None]:
    (because,) = node["because"]
    return because["kind"], because["text"], because["file"], because["line"]


def test_nothing_changed(desk: Desk) -> None:
    document = desk.changes()
    assert document["changes"] is False
    assert (document["nodes"], document["keys"], document["rebuild"], document["in_no_dag"]) == ([], [], [], [])
    code, out, _ = desk.ask("plan", "--base", "HEAD")
    assert code == 0
    assert out.startswith("nothing that a DAG builds, and no key, is other than in HEAD")


def test_a_tag_moves_a_model_with_its_tests(desk: Desk) -> None:
    desk.put("models/orders.sql", "['daily']", "['hourly']")
    document = desk.changes()
    (node,) = document["nodes"]
    assert (node["name"], node["change"], node["leaves"], node["enters"]) == ("orders", "moves", ["daily"], ["hourly"])
    assert why(node) == ("tag", "tag hourly added and tag daily removed", "models/orders.sql", 1)
    assert [test["name"] for test in node["tests"]] == ["unique_orders_id"]
    _, out, _ = desk.ask("plan", "--base", "HEAD")
    assert "1 model and 1 test: moves from daily to hourly, because: tag hourly added and tag daily removed" in out


def test_a_tag_taken_away_says_that_no_dag_builds_the_table_any_more(desk: Desk) -> None:
    desk.put("models/board.sql", "tags=['hourly']", "tags=[]")
    node = moved(desk.changes(), "board")
    assert (node["change"], node["leaves"], node["enters"], node["stays"]) == ("leaves", ["hourly"], [], [])
    _, out, _ = desk.ask("plan", "--base", "HEAD")
    assert "leaves hourly, and no DAG builds it any more, because: tag hourly removed" in out


def test_the_dag_files_own_words(desk: Desk) -> None:
    desk.put("dags/hourly.yaml", "tag:hourly", "tag:hourly loose")
    document = desk.changes()
    node = moved(document, "loose")
    assert (node["change"], node["enters"]) == ("enters", ["hourly"])
    assert why(node) == ("dag-file", "select: tag:hourly -> tag:hourly loose", "dags/hourly.yaml", 3)
    assert document["rebuild"] == []


def test_words_and_tag_at_once_are_told_apart(desk: Desk) -> None:
    """Today's words over the old project tell whether the words did it."""
    desk.put("dags/hourly.yaml", "tag:hourly", "tag:hourly loose")
    desk.put("models/totals.sql", "['daily']", "['daily', 'hourly']")
    document = desk.changes()
    assert moved(document, "loose")["because"][0]["kind"] == "dag-file"
    assert why(moved(document, "totals")) == ("tag", "tag hourly added", "models/totals.sql", 1)
    assert moved(document, "totals")["stays"] == ["daily"]


def test_a_config_in_yaml_and_one_in_dbt_project(desk: Desk) -> None:
    desk.put("models/schema.yml", "  - name: board\n", "  - name: loose\n    config: {tags: [hourly]}\n  - name: board\n")
    assert why(moved(desk.changes(), "loose")) == ("tag", "tag hourly added", "models/schema.yml", 8)
    desk.git("checkout", "-q", ".")
    desk.put("dbt_project.yml", "flags:", "models:\n  shop:\n    loose: {+tags: [daily]}\nflags:")
    kind, text, file, _ = why(moved(desk.changes(), "loose"))
    assert (kind, text, file) == ("tag", "tag daily added", "dbt_project.yml")


def test_a_model_that_becomes_ephemeral_is_built_no_more(desk: Desk) -> None:
    desk.put("models/stage.sql", "config(", "config(materialized='ephemeral', ")
    assert why(moved(desk.changes(), "stage")) == ("config", "materialized: view -> ephemeral", "models/stage.sql", 1)


def test_sql_that_reads_something_else_moves_what_the_graph_selects(desk: Desk) -> None:
    desk.put("dags/hourly.yaml", "tag:hourly", "+tag:hourly")
    desk.git("commit", "-qam", "hourly builds all that it reads")
    try:
        desk.put("models/board.sql", "ref('totals')", "ref('loose')")
        document = desk.changes()
        node = moved(document, "totals")
        assert node["leaves"] == ["hourly"]
        kind, text, file, line = why(node)
        assert (kind, file, line) == ("graph", "models/board.sql", 3)
        assert "board now reads loose and no longer reads totals" in text
    finally:
        desk.git("reset", "-q", "--hard", "HEAD~1")


def test_a_new_model_and_a_removed_one(desk: Desk) -> None:
    (desk.folder / "models/fresh.sql").write_text("{{ config(tags=['daily']) }} select 7 as seven\n")
    (desk.folder / "models/board.sql").unlink()
    desk.put(
        "models/schema.yml",
        "  - name: board\n    columns:\n      - name: total\n        data_tests:\n          - not_null\n",
        "",
    )
    document = desk.changes()
    assert why(moved(document, "fresh")) == ("new", "new model", "models/fresh.sql", None)
    gone = moved(document, "board")
    assert why(gone) == ("removed", "model removed", "models/board.sql", None)
    assert [test["name"] for test in gone["tests"]] == ["not_null_board_total"]


def test_a_renamed_model_is_one_line(desk: Desk) -> None:
    (desk.folder / "models/loose.sql").write_text("{{ config(tags=['daily']) }}\nselect 1 as one, 'two' as two\n")
    tested = "  - {name: loose, columns: [{name: one, data_tests: [not_null]}]}\n  - name: board\n"
    desk.put("models/schema.yml", "  - name: board\n", tested)
    desk.git("commit", "-qam", "loose is daily")
    try:
        (desk.folder / "models/loose.sql").rename(desk.folder / "models/tight.sql")
        desk.put("models/schema.yml", "name: loose", "name: tight")
        (node,) = desk.changes("dags/daily.yaml")["nodes"]
        assert (node["name"], node["change"], node["was"]) == ("tight", "renamed", "model.shop.loose")
        assert [test["name"] for test in node["tests"]] == ["not_null_tight_one"]
    finally:
        desk.git("reset", "-q", "--hard", "HEAD~1")


def test_a_new_test_and_a_removed_one(desk: Desk) -> None:
    desk.put("models/schema.yml", "          - unique\n", "          - not_null\n")
    document = desk.changes()
    assert why(moved(document, "not_null_orders_id")) == ("new", "new test", "models/schema.yml", 6)
    gone = moved(document, "unique_orders_id")
    assert (gone["leaves"], gone["because"][0]["text"]) == (["daily"], "test removed")
    assert {node["name"] for node in document["nodes"]} == {"not_null_orders_id", "unique_orders_id"}


@pytest.mark.parametrize("enabled", ["false"])
def test_a_disabled_model_is_not_called_removed(desk: Desk, enabled: str) -> None:
    desk.put("models/board.sql", "config(", f"config(enabled={enabled}, ")
    kind, text, file, line = why(moved(desk.changes(), "board"))
    assert (kind, text, file, line) == ("enabled", "disabled by its config", "models/board.sql", 1)
