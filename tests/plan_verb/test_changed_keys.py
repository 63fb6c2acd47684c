"""``plan --base``: keys of DAG files and of ``dbt_flow.yml`` with their places; DAGs that come, go and change their name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fleet_in_git import Desk


def keys(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(one["dag"], one["key"], one["about"], one["before"], one["now"], one["line"]) for one in document["keys"]]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"0 6 * * *"', '"30 5 * * *"', ("daily", "trigger.schedule", "starts", "0 6 * * *", "30 5 * * *", 3)),
        ("owner: ann", "owner: bob", ("daily", "owner", "owners", "ann", "bob", 1)),
        ('done_by: "07:00"', 'done_by: "06:30"', ("daily", "done_by", "deadlines", "07:00", "06:30", 4)),
        ("owner: ann", "alerts: {page: error}\nowner: ann", ("daily", "alerts.page", "alerts", "off", "error", 1)),
        ("owner: ann", "retries: 2\nowner: ann", ("daily", "retries", "others", "0", "2", 1)),
    ],
)
def test_a_key(desk: Desk, old: str, new: str, expected: tuple[Any, ...]) -> None:
    desk.put("dags/daily.yaml", old, new)
    document = desk.changes("daily")
    assert keys(document) == [expected]
    assert (document["nodes"], document["rebuild"]) == ([], [])


def test_a_deadline_that_is_gone_is_told_with_its_old_place(desk: Desk) -> None:
    desk.put("dags/daily.yaml", 'done_by: "07:00"\n', "")
    (one,) = desk.changes("daily")["keys"]
    assert (one["before"], one["now"], one["file"], one["line"], one["in"]) == ("07:00", "none", "dags/daily.yaml", 4, "base")


def test_a_value_written_otherwise_is_no_change(desk: Desk) -> None:
    desk.put("dags/hourly.yaml", "{after: daily}", "{after: {all: [daily]}}")
    assert desk.changes("hourly")["changes"] is False


def test_a_trigger_of_another_kind(desk: Desk) -> None:
    desk.put("dags/hourly.yaml", "{after: daily}", '{schedule: "0 * * * *"}')
    found = {one[1]: one[3:5] for one in keys(desk.changes("hourly"))}
    assert found["trigger.schedule"] == ("none", "0 * * * *")
    assert found["trigger.after.all"] == ("daily", "none")
    assert found["overlap"] == ("queue", "skip")


def test_defaults_of_the_folder_and_the_settings(desk: Desk) -> None:
    (desk.folder / "dags/_defaults.yaml").write_text("timezone: Europe/Berlin\n")
    desk.put("dbt_flow.yml", "bob@example.com", "bobs@example.com")
    document = desk.changes()
    assert ("hourly", "timezone", "starts", "UTC", "Europe/Berlin", 1) in keys(document)
    assert document["keys"][0]["file"] == "dags/_defaults.yaml"
    (one,) = document["settings"]
    assert (one["key"], one["before"], one["now"], one["line"]) == (
        "owners.bob.email",
        "bob@example.com",
        "bobs@example.com",
        3,
    )


def test_a_dag_under_another_name_is_one_dag(desk: Desk) -> None:
    (desk.folder / "dags/hourly.yaml").rename(desk.folder / "dags/every_hour.yaml")
    desk.put("dags/every_hour.yaml", "owner: bob", "owner: ann")
    document = desk.changes()
    assert document["dags"]["renamed"] == [{"from": "hourly", "to": "every_hour", "file": "dags/every_hour.yaml"}]
    assert (document["dags"]["added"], document["dags"]["removed"], document["nodes"]) == ([], [], [])
    assert keys(document) == [("every_hour", "owner", "owners", "bob", "ann", 1)]


def test_a_dag_that_is_added_and_one_that_is_removed(desk: Desk) -> None:
    (desk.folder / "dags/hourly.yaml").unlink()
    (desk.folder / "dags/extra.yaml").write_text("owner: ann\nselect: loose\n")
    document = desk.changes()
    (added,) = document["dags"]["added"]
    assert added == {"name": "extra", "file": "dags/extra.yaml", "owner": "ann", "starts": "by hand", "nodes": 1}
    assert [dag["name"] for dag in document["dags"]["removed"]] == ["hourly"]
    found = {node["name"]: (node["change"], node["because"][0]["text"]) for node in document["nodes"]}
    assert found == {"loose": ("enters", "extra is new"), "board": ("leaves", "hourly is removed")}


def test_a_bad_file_of_a_second_version_is_not_taken_for_a_dag_that_is_gone(desk: Desk) -> None:
    """Its DAG bears the version, and its file does not."""
    desk.put("dags/hourly.yaml", "owner: bob\n", "owner: bob\nversion: 2\n")
    desk.git("commit", "-qam", "A second version")
    try:
        desk.put("dags/hourly.yaml", "owner: bob", "ownr: bob")
        code, out, err = desk.ask("plan", "hourly_v2", "--base", "HEAD", "--json")
        assert code == 2, err
        found = json.loads(out)
        assert found["dags"]["removed"] == []
        assert found["nodes"] == []
        assert {problem["file"] for problem in found["problems"]} == {"dags/hourly.yaml"}
        code, out, _ = desk.ask("list", "--json")
        assert [row["name"] for row in json.loads(out)["dags"] if row["errors"]] == ["hourly_v2"]
    finally:
        desk.git("reset", "-q", "--hard", "HEAD~1")


def test_a_bad_file_is_an_error_and_the_others_are_compared(desk: Desk) -> None:
    (desk.folder / "dags/daily.yaml").write_text("owner: ann\nselct: tag:daily\n")
    desk.put("dags/hourly.yaml", "owner: bob", "owner: ann")
    code, out, err = desk.ask("plan", "--base", "HEAD")
    assert code == 2
    assert "hourly owner  bob -> ann" in out
    assert "daily" not in out.split("Keys")[1]
    assert "dags/daily.yaml:2" in err
