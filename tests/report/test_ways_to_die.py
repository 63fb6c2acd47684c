"""Each row of the table "Ways to die" in docs/on-call.md is held by tests: which ones stands here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs/on-call.md"

ROWS = {
    "a test or a model fails": ["report/test_real_runs_told.py::test_a_failure_is_paged_and_its_end_too"],
    "a retry mends it within the run": [
        "report/test_alerts.py::test_a_run_that_is_good_in_the_end_tells_nothing",
        "pipeline/test_trying_again.py::test_a_second_attempt_builds_what_the_first_did_not",
    ],
    "dbt refuses the project, the profile or the selection": ["report/test_telling.py::test_a_run_that_was_refused_is_told"],
    "the timeout": ["pipeline/test_stopping.py::test_a_timeout_stops_a_slow_model"],
    "somebody stops it (Ctrl-C, SIGTERM)": [
        "pipeline/test_stopping.py::test_a_signal_in_the_middle",
        "report/test_alerts.py::test_who_stops_a_run_is_not_paged_for_it",
    ],
    "`kill -9` or out of memory: the task alone": ["report/test_real_runs_told.py::test_a_task_that_is_killed_is_told"],
    "`kill -9`: the launcher alone": ["pipeline/test_stopping.py::test_a_signal_in_the_middle"],
    "both, or the machine": [
        "serve/test_runs_of_others.py::test_a_run_that_died_with_its_watchers_is_told",
        "pipeline/test_stopping.py::test_when_everything_was_killed_the_next_reader_settles",
        "report/test_channels.py::test_monitors_are_installed_once",
    ],
    "both, while dbt still parses": [
        "pipeline/test_first_and_last_moments.py::test_killed_with_all_its_watchers_while_dbt_parses",
        "pipeline/test_first_and_last_moments.py::test_the_next_run_settles_it_too",
        "serve/test_runs_of_others.py::test_a_run_that_died_before_it_had_a_record_is_told",
    ],
    "between the run's record and its telling": [
        "report/test_telling.py::test_a_run_between_record_and_telling_is_told_by_the_next",
        "report/test_telling.py::test_or_by_flush_and_once",
    ],
    "PagerDuty, Slack or the network is down": [
        "report/test_real_runs_told.py::test_when_nobody_listens_the_run_is_the_same_and_the_page_waits",
        "report/test_channels.py::test_an_outage_of_pagerduty_loses_nothing",
        "report/test_outbox.py::test_hundreds_of_outages",
    ],
    "the agent is down": ["report/test_metrics.py::test_an_agent_that_is_not_there_costs_nothing"],
    "it ends after `done_by`": ["report/test_deadlines.py::test_a_good_run_that_ends_late_is_a_message_and_no_page"],
    "it will not be done by `done_by`": ["report/test_real_deadline.py::test_at_risk_late_and_good_again"],
    "it goes on past `done_by`": ["report/test_real_deadline.py::test_at_risk_late_and_good_again"],
    "it never started": [
        "report/test_deadlines.py::test_a_dag_that_never_started_is_told_once_and_mended_by_a_good_run",
        "report/test_deadlines.py::test_a_round_tells_who_is_late_and_starts_a_sender",
    ],
}


def test_the_table_has_these_rows() -> None:
    table = PAGE.read_text().partition("## Ways to die")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows[1:] == [*ROWS]


@pytest.mark.parametrize("row", ROWS)
def test_each_row_is_held_by_tests_that_exist(row: str) -> None:
    for named in ROWS[row]:
        file, _, name = named.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, named
