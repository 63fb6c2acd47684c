"""Root causes: each once, with what it blocks and whose it is."""

from __future__ import annotations

from dataclasses import replace

import card_runs
from card_runs import model_id

from dbt_flow.records import NodeResult
from dbt_flow.report.causes import root_causes
from dbt_flow.report.words import duration, plain_message


def test_what_is_skipped_hangs_on_its_cause_also_when_nobody_said_so() -> None:
    made, ended, _ = card_runs.failing()
    mute = replace(ended, nodes=tuple(replace(node, blocked_by=()) for node in ended.nodes))
    said, derived = root_causes(made, ended), root_causes(made, mute)
    assert [cause.name for cause in derived] == [cause.name for cause in said]
    skipped = {node.id for node in ended.nodes if node.status == "skipped"}
    assert {node for cause in derived for node in cause.blocks} == skipped


def test_a_skip_that_nothing_explains_is_a_cause_of_its_own() -> None:
    made = card_runs.plan()
    node = model_id("risk_report")
    changes = {node: NodeResult(id=node, status="skipped", reason="fail-fast")}
    (cause,) = root_causes(made, card_runs.result(made, "failed", changes))
    assert cause.kind == "skipped" and "fail-fast" in cause.headline


def test_the_same_error_in_many_nodes_is_one_cause_for_each_owner() -> None:
    made = card_runs.plan()
    names = ["stg_carriers", "stg_loads", "lane_codes", "int_loads_by_lane"]
    changes = {
        model_id(name): NodeResult(
            id=model_id(name),
            status="error",
            message=f"Database Error in model {name} (models/{name}.sql)\n  connection to the warehouse lost after {at} s",
        )
        for at, name in enumerate(names)
    }
    causes = root_causes(made, card_runs.result(made, "failed", changes))
    assert [(cause.owner, len(cause.results)) for cause in causes] == [("risk-analytics", 2), ("pricing", 2)]
    assert causes[0].headline.startswith("stg_carriers and 1 other node could not be built: connection to the warehouse lost")


def test_an_owner_is_the_tests_else_the_models_else_the_dags() -> None:
    made = card_runs.plan()
    test = card_runs.SECOND_TEST
    ended = card_runs.result(made, "failed", {test: NodeResult(id=test, status="fail", failures=2)})
    assert root_causes(made, ended)[0].owner == "pricing"
    owned = replace(made, nodes=tuple(replace(n, owner="quality" if n.id == test else None) for n in made.nodes))
    assert root_causes(owned, ended)[0].owner == "quality"
    nobody = replace(made, nodes=tuple(replace(n, owner=None) for n in made.nodes))
    assert root_causes(nobody, ended)[0].owner == "risk-analytics"


def test_a_good_run_has_no_cause() -> None:
    made, ended, _ = card_runs.good()
    assert root_causes(made, ended) == ()


def test_messages_lose_headings_and_paths_never_content() -> None:
    assert plain_message(card_runs.ERROR_MESSAGE).startswith("Binder Error: Table")
    assert plain_message("Runtime Error in model x (models/x.sql)") == "Runtime Error in model x (models/x.sql)"
    assert plain_message("") == ""


def test_durations_read_like_words() -> None:
    said = [duration(s) for s in (0, 0.42, 9.96, 59.6, 185, 7440)]
    assert said == [
        "0.00 s",
        "0.42 s",
        "10 s",
        "1 min 00 s",
        "3 min 05 s",
        "2 h 04 min",
    ]
