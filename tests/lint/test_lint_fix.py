"""``--fix``: what it writes, what it leaves alone and why; comments, order and every other character stay."""

from __future__ import annotations

import pytest
from lint_ground import DAGS, SETTINGS, Ground

AT_SEVEN = """\
# The report for the board.
owner: data       # ask them first

trigger: {schedule: "0 7 * * *"}   # an hour after base: enough, mostly
select:
- report   # only this
"""


def report_at(schedule: str, more: str = "") -> str:
    return f'owner: data\ntrigger: {{schedule: "{schedule}"}}\nselect: report\n{more}'


def test_a_schedule_becomes_after(ground: Ground) -> None:
    ground.dag("report", AT_SEVEN)
    code, out, _ = ground.run("--fix")
    assert ground.text("dags/report.yaml") == AT_SEVEN.replace('schedule: "0 7 * * *"', "after: facts")
    assert code == 0
    assert "mended dags/report.yaml: it starts after facts, whose tables it reads, and no longer every day at 07:00 UTC" in out


def test_a_file_from_windows_stays_one(ground: Ground) -> None:
    text = "\ufeff" + AT_SEVEN.replace("\n", "\r\n")
    ground.dag("report", text)
    assert ground.run("--fix")[0] == 0
    assert ground.text("dags/report.yaml") == text.replace('schedule: "0 7 * * *"', "after: facts")


def test_twice_changes_nothing_more(ground: Ground) -> None:
    ground.dag("report", AT_SEVEN)
    assert ground.document("--fix")["fixed"] != []
    before = ground.text("dags/report.yaml")
    assert ground.document("--fix") == {"findings": [], "fixed": []}
    assert ground.text("dags/report.yaml") == before


@pytest.mark.parametrize("words", [["--diff"], ["--fix", "--diff"]])
def test_diff_shows_and_changes_nothing(ground: Ground, words: list[str]) -> None:
    ground.dag("report", AT_SEVEN)
    code, out, _ = ground.run(*words)
    assert code == 1
    assert ground.text("dags/report.yaml") == AT_SEVEN
    lines = out.splitlines()
    assert lines[:2] == ["--- a/dags/report.yaml", "+++ b/dags/report.yaml"]
    assert '-trigger: {schedule: "0 7 * * *"}   # an hour after base: enough, mostly' in lines
    assert "+trigger: {after: facts}   # an hour after base: enough, mostly" in lines


def test_the_document_of_diff_is_one_document(ground: Ground) -> None:
    ground.dag("report", AT_SEVEN)
    assert list(ground.document("--diff")) == ["findings"]


def test_only_what_is_not_waited_for_through_another(ground: Ground) -> None:
    ground.dbt("models/report.sql", "select f.id, b.value from {{ ref('facts') }} f, {{ ref('base') }} b\n")
    ground.dag("report", report_at("0 7 * * *"))
    ground.run("--fix")
    assert "trigger: {after: facts}" in ground.text("dags/report.yaml")


def test_two_that_are_waited_for(ground: Ground) -> None:
    ground.dbt("models/report.sql", "select f.id, b.value from {{ ref('facts') }} f, {{ ref('base') }} b\n")
    ground.dbt("models/facts.sql", "select id, value from {{ ref('numbers') }}\n")
    ground.dag("numbers", 'owner: data\ntrigger: {schedule: "0 5 * * *"}\nselect: numbers\n')
    ground.dag("base", "owner: data\ntrigger: {after: numbers}\nselect: base\n")
    ground.dag("facts", "owner: data\ntrigger: {after: numbers}\nselect: facts\n")
    ground.dag("report", report_at("0 7 * * *"))
    ground.run("--fix")
    assert "trigger: {after: [base, facts]}" in ground.text("dags/report.yaml")


@pytest.mark.parametrize(
    ("schedule", "more", "why"),
    [
        ("0 7 * * 1", "", "do not follow those of facts (through base) one by one"),
        ("0 * * * *", "", "one by one"),
        ("0 5 * * *", "", "soon after each"),
        ("0 7 * * *", "timezone: Pacific/Auckland\n", "soon after each"),
    ],
    ids=["weekly", "hourly", "before it", "a day late, elsewhere"],
)
def test_a_schedule_that_is_more_than_waiting_stays(ground: Ground, schedule: str, more: str, why: str) -> None:
    text = report_at(schedule, more)
    ground.dag("report", text)
    code, _, err = ground.run("--fix")
    assert (code, ground.text("dags/report.yaml")) == (1, text)
    assert "dags/report.yaml is left as it is" in err
    assert why in err


def test_a_schedule_that_a_source_may_need_stays(ground: Ground) -> None:
    ground.dbt(
        "models/sources.yml",
        "sources: [{name: raw, schema: landed, tables: [{name: orders, loaded_at_field: at,"
        " config: {freshness: {error_after: {count: 1, period: day}}}}]}]\n",
    )
    ground.dbt("models/report.sql", "select id, value from {{ ref('facts') }}, {{ source('raw', 'orders') }}\n")
    ground.dag("report", report_at("0 7 * * *"))
    assert "it reads the source raw.orders too" in ground.run("--fix")[2]
    assert "schedule" in ground.text("dags/report.yaml")
    ground.dag("report", report_at("0 7 * * *", "require_fresh: {select: source:raw, otherwise: wait}\n"))
    assert ground.run("--fix")[0] == 0
    assert "after: facts" in ground.text("dags/report.yaml")


def test_what_an_event_starts_stays(ground: Ground) -> None:
    ground.dag("base", "owner: data\ntrigger: {event: landed}\nselect: numbers base\n")
    ground.dag("report", report_at("0 7 * * *"))
    assert "base is started by an event" in ground.run("--fix")[2]
    ground.dag("base", DAGS["base"])
    ground.dag("report", "owner: data\ntrigger: {event: landed}\nselect: report\n")
    assert "an event starts it" in ground.run("--fix")[2]


def test_no_circle_is_closed(ground: Ground) -> None:
    """Each reads a table of the other: report may wait for facts; then facts can no longer wait for report."""
    ground.dbt("models/side.sql", "select id, value from {{ ref('report') }}\n")
    ground.dag("facts", 'owner: data\ntrigger: {schedule: "30 6 * * *"}\nselect: facts side\n')
    ground.dag("report", report_at("0 7 * * *"))
    both = ground.findings()
    assert [(one["code"], one["file"]) for one in both] == [
        ("reads-without-waiting", "dags/facts.yaml"),
        ("reads-without-waiting", "dags/report.yaml"),
    ]
    assert "facts reads base of base; report of report; and waits for none of them" in both[0]["message"]
    ground.run("--fix")
    assert "after: facts" in ground.text("dags/report.yaml")
    found = ground.findings("--fix")
    assert [(one["code"], one["file"]) for one in found] == [("reads-without-waiting", "dags/facts.yaml")] * 2
    assert "report waits for facts" in found[1]["message"]


def test_what_is_silenced_stays(ground: Ground) -> None:
    text = report_at("0 7 * * *", "lint: {ignore: {reads-without-waiting: yesterday is good enough}}\n")
    ground.dag("report", text)
    assert ground.run("--fix")[0] == 0
    assert ground.text("dags/report.yaml") == text


def test_a_trigger_among_defaults_stays(ground: Ground) -> None:
    ground.put("dags/late/_defaults.yaml", 'trigger: {schedule: "0 7 * * *"}\n')
    (ground.folder / "dags/report.yaml").unlink()
    ground.put("dags/late/report.yaml", "owner: data\nselect: report\n")
    assert "its trigger stands in dags/late/_defaults.yaml" in ground.run("--fix")[2]


def test_a_dag_is_added_to_those_it_waits_for(ground: Ground) -> None:
    ground.dag("report", "owner: data\ntrigger: {after: base}   # first\nselect: report\n")
    assert ground.run("--fix")[0] == 0
    assert ground.text("dags/report.yaml") == "owner: data\ntrigger: {after: [base, facts]}   # first\nselect: report\n"


def test_a_silence_that_silences_nothing_goes(ground: Ground) -> None:
    ground.dag("report", DAGS["report"] + "lint: {ignore: {built-twice: by both}}\n")
    ground.put("dbt_flow.yml", SETTINGS + "lint:\n  ignore:\n    in-no-dag: while we move\n")
    assert ground.run("--fix")[0] == 0
    assert ground.text("dags/report.yaml") == DAGS["report"]
    assert ground.text("dbt_flow.yml") == SETTINGS
