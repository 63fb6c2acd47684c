"""Schedules and deadlines against what past runs took, and against the clocks."""

from __future__ import annotations

from typing import Any

import pytest
from lint_ground import Ground

from dbt_flow.errors import StateError
from dbt_flow.pipeline import linting

HOURLY = 'owner: data\ntrigger: {schedule: "0 * * * *"}\nselect: numbers base\n'
HOUR = 3600.0


def test_a_schedule_that_piles_up(ground: Ground) -> None:
    ground.dag("base", HOURLY)
    ground.ran("base", 1.25 * HOUR, 1.3 * HOUR, 1.2 * HOUR)
    found = ground.only("piles-up")
    assert (found["file"], found["line"]) == ("dags/base.yaml", 2)
    assert found["message"] == "base usually takes 75 min and starts every 60 min: starts are left out"


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        ((0.9 * HOUR,) * 3, "success"),
        ((2 * HOUR,) * 2, "success"),
        ((2 * HOUR,) * 5, "failed"),
        ((2 * HOUR, 60, 60), "success"),
    ],
    ids=["it fits", "two runs are no habit", "failed runs say nothing", "one was slow"],
)
def test_a_schedule_that_does_not(ground: Ground, seconds: tuple[float, ...], status: str) -> None:
    ground.dag("base", HOURLY)
    ground.ran("base", *seconds, status=status)
    assert ground.findings() == []


def test_one_file_that_is_wanted_all_day(ground: Ground) -> None:
    ground.dag("base", 'owner: data\ntrigger: {schedule: "0 */2 * * *"}\nselect: numbers base\n')
    ground.ran("base", *(1.5 * HOUR,) * 3)
    ground.ran("facts", *(0.25 * HOUR,) * 3)
    assert ground.findings() == [], "21 hours of a day"
    ground.ran("report", *(0.5 * HOUR,) * 3)
    found = ground.only("piles-up")
    assert "hold it for 27 h of every day" in found["message"]
    assert "base (18 h), report (6 h), facts (3 h)" in found["message"]


def test_a_start_in_the_hour_that_is_not_there(ground: Ground) -> None:
    ground.dag("base", 'owner: data\ntimezone: Europe/Berlin\ntrigger: {schedule: "30 2 * * *"}\nselect: numbers base\n')
    found = ground.only("clock-change")
    assert "02:30" in found["message"]
    assert (found["file"], found["line"]) == ("dags/base.yaml", 3)
    ground.dag("base", 'owner: data\ntimezone: Europe/Berlin\ntrigger: {schedule: "30 4 * * *"}\nselect: numbers base\n')
    assert ground.findings() == []


def test_a_deadline_before_the_usual_end(ground: Ground) -> None:
    by_seven = 'owner: data\ntrigger: {schedule: "0 6 * * *"}\nselect: numbers base\ndone_by: "07:00"\n'
    ground.dag("base", by_seven)
    ground.ran("base", *(1.5 * HOUR,) * 3)
    found = ground.only("deadline-too-early")
    assert (found["file"], found["line"]) == ("dags/base.yaml", 4)
    assert "due by 07:00 and usually done at 07:30, 30 min late" in found["message"]
    ground.dag("base", by_seven.replace("07:00", "08:00"))
    assert ground.findings() == []


def test_a_deadline_of_a_dag_that_waits_for_others(ground: Ground) -> None:
    """Each of the three is quick enough; together they are not."""
    ground.dag("report", 'owner: data\ntrigger: {after: facts}\nselect: report\ndone_by: "07:00"\n')
    for name in ("base", "facts"):
        ground.ran(name, *(0.4 * HOUR,) * 3)
    ground.ran("report", *(0.3 * HOUR,) * 3, at="06:48")
    found = ground.only("deadline-too-early")
    assert "usually done at 07:06" in found["message"]
    assert "after base, facts" in found["message"]


def test_a_deadline_of_a_dag_that_an_event_starts_is_judged_by_its_past(ground: Ground) -> None:
    ground.dag("base", 'owner: data\ntrigger: {event: landed}\nselect: numbers base\ndone_by: "07:00"\n')
    ground.ran("base", *(2 * HOUR,) * 3)
    assert "3 of its last 3 good runs ended later" in ground.only("deadline-too-early")["message"]


def test_a_deadline_that_most_runs_held(ground: Ground) -> None:
    ground.dag("base", 'owner: data\ntrigger: {event: landed}\nselect: numbers base\ndone_by: "07:00"\n')
    ground.ran("base", 2 * HOUR, 600, 600)
    assert ground.findings() == []


def test_a_past_that_cannot_be_read_is_told_once_and_costs_nothing_else(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with state in a bucket, in a job that may not read it."""
    asked: list[str] = []

    def refuse(_store: Any, dag: str, _target: str) -> Any:
        asked.append(dag)
        raise StateError("state-unreachable", "the bucket does not answer")

    monkeypatch.setattr(linting, "history", refuse)
    ground.dag("report", "owner: data\ntrigger: {after: facts}\nselect: report\nlint: {ignore: {piles-up: on Sundays}}\n")
    code, out, err = ground.run()
    assert (code, asked) == (0, ["base"])
    assert out.endswith("no findings\n")
    assert "nothing is said of how long they take: the bucket does not answer" in err
