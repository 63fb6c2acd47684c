"""Errors in plain words, thresholds, the failing part of the SQL, what is left and what would be shorter."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import card_runs
import pytest
from card_plan import START, model_id, plan, timed

from dbt_flow.records import NodeResult, utc_text
from dbt_flow.report.estimate import seconds_left
from dbt_flow.report.plain import meaning, threshold
from dbt_flow.report.shorter import shorter
from dbt_flow.report.sql_part import failing_part
from dbt_flow.report.timeline import spans, timeline


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('Binder Error: Table "c" does not have a column named "carier_name"', "a column that is not there"),
        ("000904 (42000): SQL compilation error: invalid identifier 'CARIER_NAME'", "a column that is not there"),
        ('relation "public.orders" does not exist', "A table or view that the SQL reads is not there"),
        ("Insufficient privileges to operate on schema 'X'", "a grant is missing"),
        ("Conversion Error: Could not convert string 'abc' to INT32", "odd values"),
        ("division by zero", "A divisor is 0"),
        ("Out of Memory Error: could not allocate block", "ran out of memory"),
        ("canceling statement due to statement timeout", "took longer than it may"),
        ('Parser Error: syntax error at or near "selec"', "cannot read this SQL"),
        ("could not connect to server: Connection refused", "could not be reached"),
        ("the sky fell", ""),
    ],
)
def test_what_a_warehouse_says_is_put_in_plain_words(message: str, told: str) -> None:
    assert told in meaning(message)
    assert bool(meaning(message)) == bool(told)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("!= 0", "any"),
        ("> 0", "any"),
        (">10", "more than 10"),
        (">= 1000", "at least 1,000"),
        ("between 1 and 3", "between 1 and 3"),
        (None, ""),
    ],
)
def test_thresholds_in_words(condition: str | None, told: str) -> None:
    assert threshold(condition) == told


def test_the_line_that_the_warehouse_quotes_is_marked() -> None:
    sql = card_runs.SQL.replace("c.carrier_name", "c.carier_name")
    part = failing_part(sql, card_runs.ERROR_MESSAGE, is_test=False)
    assert part and part["lines"][part["marked"][0]].startswith("select c.carrier_id")
    assert part["first"] + part["marked"][0] == 8
    named = failing_part(sql, "invalid identifier 'C.CARIER_NAME'", is_test=False)
    assert named and named["first"] + named["marked"][0] == 8
    assert failing_part(sql, "something else broke", is_test=False) is None


def test_of_a_test_the_condition_is_marked() -> None:
    sql = "select a\nfrom t\nwhere a is null\n  and b > 1\n\n) x"
    part = failing_part(sql, "", is_test=True)
    assert part and [part["lines"][at] for at in part["marked"]] == ["where a is null", "  and b > 1"]
    assert failing_part("select 1", "", is_test=True) is None


def test_what_is_left_is_played_through() -> None:
    made = plan()
    done, whole = timed(made, {})
    usual = {node.id: node.seconds for node in done}
    assert seconds_left(made, (), {}, {}, utc_text(START)) is None, "without history nobody knows"
    first = done[:24]
    left = seconds_left(made, first, {}, usual, utc_text(START + timedelta(seconds=20)))
    assert left is not None and 5 < left < whole
    running = {made.nodes[24].id: utc_text(START)}
    soon = seconds_left(made, first, running, usual, utc_text(START + timedelta(seconds=20)))
    assert soon is not None and soon <= left, "what runs already has less to go"
    assert seconds_left(made, done, {}, usual, utc_text(START)) is None


def test_a_run_that_could_be_shorter_is_told_how() -> None:
    made = plan()
    done, whole = timed(made, {})
    told = shorter(made, spans(done), whole, 4)
    assert told and any("carrier_safety" in text or "risk_report" in text or "thread" in text for text in told)
    one, alone = timed(made, {}, threads=1)
    assert shorter(made, spans(one), alone, 1)[0].startswith("More threads")
    assert shorter(made, {}, 0.0, 1) == []


def test_threads_of_two_processes_never_overlap_in_a_lane() -> None:
    made = plan()
    done, _ = timed(made, {})
    same = tuple(replace(node, thread="Thread-1 (worker)") for node in done)
    chart = timeline(made, same)
    assert chart and 1 < len(chart["lanes"]) <= 4
    for lane in chart["lanes"]:
        ends = [(bar[0], bar[0] + bar[1]) for bar in lane["bars"]]
        assert all(after[0] >= before[1] - 0.5 for before, after in pairwise(ends))


def test_a_node_that_takes_longer_than_ever_does_not_end_the_estimate() -> None:
    made = plan()
    usual = {node.id: 1.0 for node in made.nodes}
    now = utc_text(START + timedelta(hours=1))
    done = tuple(NodeResult(node.id, "success") for node in made.nodes if node.id != model_id("risk_report"))
    assert seconds_left(made, done, {model_id("risk_report"): utc_text(START)}, usual, now) == pytest.approx(0.1)
