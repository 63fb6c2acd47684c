"""What no DAG builds or tests, and what two do: each finding, and where it must not appear."""

from __future__ import annotations

import pytest
from lint_ground import SCHEMA, SETTINGS, Ground

NUMBERS_AGAIN = "select id, value from {{ ref('numbers') }}\n"


def test_a_fleet_without_a_fault_has_no_finding(ground: Ground) -> None:
    assert ground.findings() == []


def test_a_model_in_no_dag(ground: Ground) -> None:
    ground.dbt("models/lost.sql", NUMBERS_AGAIN)
    found = ground.only("in-no-dag")
    assert (found["file"], found["line"]) == ("store/models/lost.sql", 1)
    assert "lost" in found["message"]
    assert "dag: none" in found["fix"]


@pytest.mark.parametrize(
    "text",
    [
        "{{ config(meta={'dag': 'none'}) }}\n" + NUMBERS_AGAIN,
        "{{ config(enabled=false) }}\n" + NUMBERS_AGAIN,
        "{{ config(materialized='ephemeral') }}\n" + NUMBERS_AGAIN,
    ],
    ids=["on purpose", "disabled", "inside another"],
)
def test_a_model_that_need_not_be_in_one(ground: Ground, text: str) -> None:
    ground.dbt("models/lost.sql", text)
    if "ephemeral" in text:
        ground.dbt("models/facts.sql", "select id, value from {{ ref('base') }} union all select * from {{ ref('lost') }}\n")
    assert ground.findings() == []


def test_an_ephemeral_model_that_nothing_uses(ground: Ground) -> None:
    ground.dbt("models/lost.sql", "{{ config(materialized='ephemeral') }}\n" + NUMBERS_AGAIN)
    assert "lost" in ground.only("in-no-dag")["message"]


def test_a_claim_with_a_slip(ground: Ground) -> None:
    ground.dbt("models/lost.sql", "{{ config(meta={'dag': 'factz'}) }}\n" + NUMBERS_AGAIN)
    found = ground.only("in-no-dag")
    assert "factz" in found["message"]
    assert found["fix"] == "did you mean facts?"


def test_a_claim_of_a_dag_that_selects_for_itself(ground: Ground) -> None:
    ground.dbt("models/lost.sql", "{{ config(meta={'dag': 'facts'}) }}\n" + NUMBERS_AGAIN)
    assert "selection of its own" in ground.only("in-no-dag")["message"]


def test_in_none_by_its_word_and_in_one_by_its_tag(ground: Ground) -> None:
    ground.dbt("models/facts.sql", "{{ config(meta={'dag': 'none'}) }}\nselect id, value from {{ ref('base') }}\n")
    assert "facts builds it" in ground.only("claimed-none")["message"]


def test_a_project_without_any_dag(ground: Ground) -> None:
    for name in ("base", "facts", "report"):
        (ground.folder / f"dags/{name}.yaml").unlink()
    assert ground.codes() == ["in-no-dag"] * 4


def test_built_by_two(ground: Ground) -> None:
    ground.dag("report", "owner: data\ntrigger: {after: facts}\nselect: facts report\n")
    found = ground.only("built-twice")
    assert (found["file"], found["line"], found["severity"]) == ("dags/report.yaml", 3, "error")
    assert found["message"] == "facts and report build facts"


def test_built_by_two_on_two_targets_is_two_tables(ground: Ground) -> None:
    outputs = "\n".join(f"    {name}: {{type: duckdb, path: {name}.duckdb}}" for name in ("dev", "prod"))
    ground.dbt("profiles.yml", f"shop:\n  target: dev\n  outputs:\n{outputs}\n")
    ground.dag("facts_again", "owner: data\ntrigger: none\ntarget: prod\nselect: facts\n")
    assert ground.findings() == []


def test_a_selection_by_state_builds_what_others_own(ground: Ground) -> None:
    ground.dag("changes", "owner: data\ntrigger: none\nselect: state:modified+\n")
    assert ground.findings() == []


def test_a_selection_that_takes_nothing(ground: Ground) -> None:
    ground.dag("more", "owner: data\ntrigger: none\nselect: tag:typo\n")
    found = ground.only("selects-nothing")
    assert (found["file"], found["line"]) == ("dags/more.yaml", 3)


def test_a_word_of_a_selection_that_takes_nothing(ground: Ground) -> None:
    ground.dag("facts", "owner: data\ntrigger: {after: base}\nselect: facts tag:typo\n")
    assert "tag:typo" in ground.only("selects-nothing")["message"]


def test_an_exclusion_that_takes_nothing(ground: Ground) -> None:
    ground.dag("facts", "owner: data\ntrigger: {after: base}\nselect: facts\nexclude: tag:gone\n")
    found = ground.only("selects-nothing")
    assert found["line"] == 4
    assert "tag:gone" in found["message"]


def test_a_dag_that_nobody_claims(ground: Ground) -> None:
    ground.dag("more", "owner: data\ntrigger: none\n")
    assert "in_dag('more')" in ground.only("selects-nothing")["fix"]


def test_a_test_that_never_runs(ground: Ground) -> None:
    ground.dag("facts", "owner: data\ntrigger: {after: base}\nselect: facts\ntests: {exclude: not_null_facts_id}\n")
    found = ground.only("test-never-runs")
    assert (found["file"], found["line"]) == ("store/models/schema.yml", 4)
    assert "not_null_facts_id of facts" in found["message"]
    assert "tests.exclude in dags/facts.yaml" in found["fix"]


def test_a_test_that_another_dag_runs(ground: Ground) -> None:
    ground.dag("facts", "owner: data\ntrigger: {after: base}\nselect: facts\ntests: {exclude: not_null_facts_id}\n")
    ground.dag("report", "owner: data\ntrigger: {after: facts}\nselect: report not_null_facts_id\n")
    assert ground.findings() == []


def test_a_test_of_a_source_runs_only_when_selected(ground: Ground) -> None:
    sources = "sources: [{name: raw, schema: landed, tables: [{name: orders, columns: [{name: id, data_tests: [unique]}]}]}]\n"
    ground.dbt("models/sources.yml", sources)
    ground.dbt("models/base.sql", "select id, value from {{ source('raw', 'orders') }}, {{ ref('numbers') }}\n")
    found = ground.only("test-never-runs")
    assert "the source raw.orders" in found["message"]
    assert "source:raw.orders" in found["fix"]
    ground.dag("base", 'owner: data\ntrigger: {schedule: "0 6 * * *"}\nselect: numbers base source:raw.orders\n')
    assert ground.findings() == []


EXPOSURE = """
exposures:
  - name: board
    type: dashboard
    owner: {name: anybody}
    depends_on: [ref('SHOWN')]
"""


def test_an_exposure_whose_data_no_dag_builds(ground: Ground) -> None:
    ground.dbt("models/lost.sql", "{{ config(meta={'dag': 'none'}) }}\n" + NUMBERS_AGAIN)
    ground.dbt("models/exposures.yml", EXPOSURE.replace("SHOWN", "lost"))
    found = ground.only("exposure-not-built")
    assert (found["file"], found["line"]) == ("store/models/exposures.yml", 3)
    assert "lost" in found["message"]


def test_an_exposure_whose_data_a_dag_builds(ground: Ground) -> None:
    ground.dbt("models/exposures.yml", EXPOSURE.replace("SHOWN", "report"))
    assert ground.findings() == []


FRESH = "freshness: {error_after: {count: 1, period: day}}"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("", "the source has no freshness"),
        (f"config: {{{FRESH}}}", "duckdb cannot say when it was loaded"),
        (f"loaded_at_field: at, config: {{{FRESH}}}", None),
    ],
    ids=["nothing", "not when it was loaded", "all of it"],
)
def test_a_source_that_must_be_fresh(ground: Ground, said: str, found: str | None) -> None:
    ground.dbt("models/sources.yml", f"sources: [{{name: raw, schema: landed, tables: [{{name: orders, {said}}}]}}]\n")
    ground.dbt("models/base.sql", "select id, value from {{ source('raw', 'orders') }}, {{ ref('numbers') }}\n")
    ground.dag("base", 'owner: data\ntrigger: {schedule: "0 6 * * *"}\nselect: numbers base\nrequire_fresh: source:raw\n')
    if found is None:
        assert ground.findings() == []
    else:
        one = ground.only("no-freshness")
        assert found in one["message"]
        assert (one["file"], one["line"]) == ("dags/base.yaml", 4)


def test_owners_who_left(ground: Ground) -> None:
    ground.dag("report", "owner: gone\ntrigger: {after: facts}\nselect: report\n")
    ground.dbt(
        "models/schema.yml",
        SCHEMA.replace("- {name: base,", "- {name: base, config: {meta: {owner: dataa}},")
        + "groups: [{name: finance, owner: {name: nobody}}]\n",
    )
    found = ground.findings()
    assert [(one["code"], one["file"], one["line"]) for one in found] == [
        ("unknown-owner", "dags/report.yaml", 1),
        ("unknown-owner", "store/models/base.sql", 1),
        ("unknown-owner", "store/models/schema.yml", 6),
    ]
    assert [one["fix"] for one in found][1] == "did you mean data?"


def test_owners_who_are_there(ground: Ground) -> None:
    ground.dbt(
        "models/schema.yml",
        SCHEMA.replace("- {name: base,", "- {name: base, config: {meta: {owner: data@shop.example}},")
        + "groups: [{name: finance, owner: {name: Finance, email: data@shop.example}}]\n",
    )
    assert ground.findings() == []


def test_while_there_are_no_owners_every_one_is_good(ground: Ground) -> None:
    ground.put("dbt_flow.yml", SETTINGS.partition("owners:")[0])
    ground.dag("report", "owner: whoever\ntrigger: {after: facts}\nselect: report\n")
    assert ground.findings() == []
