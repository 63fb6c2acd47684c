"""A finding that is meant is silenced where it is meant, with a reason; a silence without a use or a reason is a finding."""

from __future__ import annotations

import pytest
from lint_ground import DAGS, SETTINGS, Ground

TWICE = "owner: data\ntrigger: {after: facts}\nselect: facts report\n"
LOST = "select id, value from {{ ref('numbers') }}\n"


def silence(code: str = "built-twice", reason: str = "both are meant") -> str:
    return f"lint: {{ignore: {{{code}: {reason}}}}}\n"


def test_in_the_dag_file(ground: Ground) -> None:
    ground.dag("report", TWICE + silence())
    assert ground.findings() == []


def test_in_either_of_two_dag_files(ground: Ground) -> None:
    ground.dag("report", TWICE)
    ground.dag("facts", DAGS["facts"] + silence())
    assert ground.findings() == []


def test_in_a_dag_that_it_is_not_about(ground: Ground) -> None:
    ground.dag("report", TWICE)
    ground.dag("base", DAGS["base"] + silence())
    found = ground.findings()
    assert [(one["code"], one["file"], one["line"]) for one in found] == [
        ("silences-nothing", "dags/base.yaml", 4),
        ("built-twice", "dags/report.yaml", 3),
    ]


def test_in_defaults_it_is_one_silence_for_all_below(ground: Ground) -> None:
    ground.dag("report", TWICE)
    ground.dag("_defaults", silence())
    assert ground.findings() == []
    ground.dag("report", DAGS["report"])
    assert ground.only("silences-nothing")["file"] == "dags/_defaults.yaml"


def test_in_the_meta_of_a_model(ground: Ground) -> None:
    ground.dbt("models/lost.sql", "{{ config(meta={'lint': {'ignore': {'in-no-dag': 'of next month'}}}) }}\n" + LOST)
    assert ground.findings() == []
    ground.dag("more", "owner: data\ntrigger: {after: base}\nselect: lost\n")
    found = ground.only("silences-nothing")
    assert (found["file"], found["line"]) == ("store/models/lost.sql", 1)


def test_in_dbt_flow_yml_for_the_fleet(ground: Ground) -> None:
    ground.dbt("models/lost.sql", LOST)
    ground.dbt("models/lost_too.sql", LOST)
    ground.put("dbt_flow.yml", SETTINGS + silence("in-no-dag", "a project that is being moved here"))
    assert ground.findings() == []
    ground.dag("more", "owner: data\ntrigger: {after: base}\nselect: lost lost_too\n")
    found = ground.only("silences-nothing")
    assert (found["file"], found["line"]) == ("dbt_flow.yml", 3)


@pytest.mark.parametrize("reason", ["", "''", "' '"])
def test_without_a_reason_it_silences_nothing(ground: Ground, reason: str) -> None:
    ground.dag("report", TWICE + silence(reason=reason))
    assert ground.codes() == ["built-twice", "no-reason"]


def test_a_code_with_a_slip(ground: Ground) -> None:
    ground.dag("report", TWICE + silence("build-twice"))
    found = ground.findings()
    assert [one["code"] for one in found] == ["built-twice", "silences-nothing"]
    assert found[1]["fix"] == "did you mean built-twice?"


def test_what_needs_a_past_is_not_stale_where_there_is_none(ground: Ground) -> None:
    """As in CI, where no run is remembered."""
    ground.dag("base", DAGS["base"] + silence("piles-up", "it is caught up on Sundays"))
    assert ground.findings() == []
    ground.ran("base", 60, 60, 60)
    ground.only("silences-nothing")


def test_the_findings_about_silences_cannot_be_silenced(ground: Ground) -> None:
    ground.dag("report", DAGS["report"] + "lint: {ignore: {silences-nothing: never mind, built-twice: left behind}}\n")
    assert ground.codes() == ["silences-nothing", "silences-nothing"]


def test_in_dbt_project_yml_for_a_folder_it_is_one_silence(ground: Ground) -> None:
    """Of two models below it one is in no DAG, and the other is in one: the silence has its use."""
    project = ground.text("store/dbt_project.yml")
    silenced = "models: {shop: {attic: {+meta: {lint: {ignore: {in-no-dag: kept for the auditors}}}}}}\n"
    ground.dbt("dbt_project.yml", project + silenced)
    ground.dbt("models/attic/lost.sql", LOST)
    ground.dbt("models/attic/used.sql", LOST)
    ground.dag("more", "owner: data\ntrigger: {after: base}\nselect: used\n")
    assert ground.findings() == []
    ground.dag("more", "owner: data\ntrigger: {after: base}\nselect: used lost\n")
    assert ground.only("silences-nothing")["file"] == "store/dbt_project.yml"


def test_a_finding_about_several_is_silenced_when_each_of_them_is(ground: Ground) -> None:
    ground.dbt("models/report.sql", "select f.id, b.value from {{ ref('facts') }} f, {{ ref('base') }} b\n")
    ground.dag("facts", "owner: data\ntrigger: {after: base}\nselect: facts\n")
    ground.dag("base", 'owner: data\ntrigger: {schedule: "0 6 * * *"}\nselect: numbers base facts\n')
    (ground.folder / "dags/facts.yaml").unlink()
    ground.dag("report", 'owner: data\ntrigger: {schedule: "0 9 * * *"}\nselect: report\n')
    said = "{{ config(meta={'lint': {'ignore': {'reads-without-waiting': 'read hours later'}}}) }}\n"
    ground.dbt("models/base.sql", said + "select id, value from {{ ref('numbers') }}\n")
    assert "report reads base, facts" in ground.only("reads-without-waiting")["message"]
    ground.dbt("models/facts.sql", said + "select id, value from {{ ref('base') }}\n")
    assert ground.findings() == []
