"""The table of what a scheduler can express: against the docs, against what is refused, and crons against when they start."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from dbt_flow.settings import load_settings
from dbt_flow.spec import Dag, load_dag
from dbt_flow.spec.scheduler_crons import Refused, for_argo, for_eventbridge
from dbt_flow.spec.schedulers import (
    REFUSED,
    SCHEDULERS,
    TABLE,
    by_first_step,
    clock_of,
    refused_by,
    schedule_of,
    schedules_of,
)

ROWS: dict[str, tuple[str, str]] = {
    # row of the table: what stands in the DAG file, and the key whose line the refusal names
    "schedule": ('trigger: {schedule: "0 6 * * *"}', ""),
    "schedule: several": ('trigger: {schedule: ["0 6 * * *", "0 9 * * *"]}', "trigger"),
    "schedule: L, #": ('trigger: {schedule: "0 6 L * *"}', "trigger"),
    "timezone": ('trigger: {schedule: "0 6 * * *"}\ntimezone: Asia/Tokyo', ""),
    "timezone: with daylight saving": ('trigger: {schedule: "0 6 * * *"}\ntimezone: Europe/Berlin', "timezone"),
    "event": ("trigger: {event: landed}", "trigger"),
    "event: params": ("trigger: {event: {name: landed, params: {day: when}}}\nparams: {day: {type: date}}", "trigger"),
    "after": ("trigger: {after: one}", "trigger"),
    "after: any": ("trigger: {after: {any: [one, two]}}", "trigger"),
    "within": ("trigger: {after: [one, two], within: 2h}", "trigger"),
    "at_latest": ('trigger: {after: one, at_latest: "07:00"}', "trigger"),
    "otherwise": ("trigger: {after: one, otherwise: run}", "trigger"),
    "within, at_latest, with isolate": ('trigger: {after: one, at_latest: "07:00"}\nisolate: all', "trigger"),
    "at_latest, with a required parameter": (
        'trigger: {event: {name: landed, params: {day: when}}, at_latest: "07:00"}\nparams: {day: {type: date}}',
        "trigger",
    ),
    "overlap: skip": ('trigger: {schedule: "0 6 * * *"}\noverlap: skip', ""),
    "overlap: skip, with isolate": ("trigger: {event: landed}\noverlap: skip\nisolate: all", "overlap"),
    "overlap: queue": ('trigger: {schedule: "0 6 * * *"}\noverlap: queue', "overlap"),
    "timeout": ("timeout: 2h", ""),
    "retries": ("retries: 2", ""),
    "done_by": ('done_by: "07:00"', ""),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: shop\n")
    for name in ("one", "two"):
        (tmp_path / f"dags/{name}.yaml").write_text("owner: team\nselect: x\n")
    return tmp_path


def dag(root: Path, text: str) -> Dag:
    (root / "dags/three.yaml").write_text(f"owner: team\nselect: x\n{text}\n")
    return load_dag(load_settings(start=root, environ={}), "three")


def test_the_docs_show_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs/deploy.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([a-z_#:, A-Z]+) \| (.+ \| .+ \| .+) \|$", page, re.MULTILINE))
    shown = {key: tuple(cells.split(" | ")) for key, cells in rows.items() if key in TABLE}
    assert shown == dict(TABLE) and list(shown) == list(TABLE)


@pytest.mark.parametrize("row", TABLE)
def test_what_the_table_says_is_what_is_refused(root: Path, row: str) -> None:
    text, key = ROWS[row]
    chosen = dag(root, text)
    _, *says = TABLE[row]
    for scheduler, word in zip(SCHEDULERS, says, strict=True):
        errors = refused_by(chosen, scheduler)
        assert bool(errors) == word.endswith(REFUSED), (scheduler, errors)
        if errors:
            line = next(
                number for number, said in enumerate(("", "", *text.splitlines()), start=1) if said.startswith(key) and said
            )
            assert any(error.place == chosen.place(key) or (error.place and error.place.line == line) for error in errors)
            assert all(error.code == "not-on-scheduler" and error.hint for error in errors)


CRONS = [
    ("0 6 * * *", "UTC"),
    ("*/15 8-18 * * 1-5", "UTC"),
    ("30 2 * * 1", "Asia/Kolkata"),
    ("0 22 * * 7", "America/Phoenix"),
    ("*/20 * * * *", "Asia/Kolkata"),
    ("5 0,12 * * SAT,SUN", "UTC"),
    ("0 7 1 * *", "Etc/GMT-3"),
    ("0 6 */3 * *", "UTC"),
    ("0 6 * JAN-MAR MON", "UTC"),
]


def starts(cron: str, zone: str) -> list[datetime]:
    """The starts of two months, in UTC."""
    begin = datetime(2027, 1, 3, tzinfo=timezone.utc)
    found = []
    for moment in CronSim(cron, begin.astimezone(ZoneInfo(zone))):
        if moment > begin + timedelta(days=62):
            return found
        found.append(moment.astimezone(timezone.utc))
    return found


@pytest.mark.parametrize(("cron", "zone"), CRONS)
def test_a_cron_starts_at_the_same_moments_elsewhere(cron: str, zone: str) -> None:
    argo = for_argo(cron)
    assert isinstance(argo, str) and "7" not in argo.split()[4]
    assert starts(argo, zone) == starts(cron, zone) != []
    rule = for_eventbridge(cron, zone)
    assert isinstance(rule, str)
    minute, hour, day, month, weekday, year = rule.split()
    assert year == "*" and (day == "?") != (weekday == "?"), "EventBridge wants exactly one question mark"
    again = " ".join(part.replace("?", "*") for part in (minute, hour, day, month, weekday))
    assert starts(again, "UTC") == starts(cron, zone)


@pytest.mark.parametrize(
    ("cron", "zone", "argo"),
    [
        ("0 6 L * *", "UTC", False),
        ("0 6 * * 5#2", "UTC", False),
        ("0 6 * * 5L", "UTC", False),
        ("0 6 */2 * 1", "UTC", False),
        ("0 6 1 * 1", "UTC", True),
        ("0 6 * * *", "Europe/Berlin", True),
        ("0 * * * 1-5", "Asia/Tokyo", True),
        ("0 2 1 * *", "Asia/Tokyo", True),
        ("0,45 * * * 1", "Asia/Kolkata", True),
    ],
)
def test_what_would_start_at_another_time_is_refused(cron: str, zone: str, argo: bool) -> None:
    assert isinstance(for_eventbridge(cron, zone), Refused)
    assert isinstance(for_argo(cron), str) == argo


def test_metaflow_is_told_in_the_schedulers_words(root: Path) -> None:
    chosen = dag(root, 'trigger: {schedule: "0 6 * * 7"}\ntimezone: Asia/Tokyo')
    assert schedule_of(chosen, "step-functions") == {"cron": "0 21 ? * SAT *"}
    assert schedule_of(chosen, "argo-workflows") == {"cron": "0 6 * * 0", "timezone": "Asia/Tokyo"}
    assert schedule_of(chosen, "run") == {"cron": "0 6 * * 7", "timezone": "Asia/Tokyo"}


@pytest.mark.parametrize(
    ("text", "crons"),
    [
        ("trigger: {after: [one, two]}", None),
        ("trigger: {after: {any: one}}", None),
        ("trigger: {after: {any: [one, two]}}", ()),
        ('trigger: {event: landed, at_latest: "07:30"}', ("30 7 * * *",)),
        ('trigger: {after: one, at_latest: "02:30"}\ntimezone: Europe/Berlin', ("30 2,3 * * *",)),
        ('trigger: {after: one, at_latest: "07:30"}\ntimezone: Europe/Berlin', ("30 7 * * *",)),
        ("trigger: {after: [one, two], within: 2h}", ("*/30 * * * *",)),
        ("trigger: {after: [one, two], within: 10m}", ("*/5 * * * *",)),
        ("trigger: {after: [one, two], within: 3d, otherwise: run}", ("0 * * * *",)),
        ("trigger: {after: [one, two], within: 2h, otherwise: skip}", ()),
        ("trigger: {after: one, within: 2h}", ()),
        ('trigger: {after: [one, two], within: 24h, at_latest: "06:00"}', ("0 6 * * *", "0 * * * *")),
    ],
)
def test_when_the_first_step_decides_and_when_it_looks_at_the_clock(
    root: Path, text: str, crons: tuple[str, ...] | None
) -> None:
    chosen = dag(root, text)
    assert by_first_step(chosen) == (crons is not None)
    assert clock_of(chosen) == (crons or ())
    bare = refused_by(chosen, "argo-workflows", bare=True)
    assert bool(bare) == (crons is not None) and {error.code for error in bare} <= {"not-on-scheduler"}
    assert all("dbt-flow deploy" in str(error.hint) for error in bare)


def test_all_of_several_schedules_are_for_argo(root: Path) -> None:
    chosen = dag(root, 'trigger: {schedule: ["0 6 * * 7", "0 9 * * *"]}')
    assert schedules_of(chosen) == ("0 6 * * 0", "0 9 * * *")
    assert schedule_of(chosen, "argo-workflows") == {"cron": "0 6 * * 0"}
    assert refused_by(chosen, "argo-workflows") == []
    assert [error.code for error in refused_by(chosen, "argo-workflows", bare=True)] == ["not-on-scheduler"]
    odd = dag(root, 'trigger: {schedule: ["0 6 * * *", "0 9 L * *"]}')
    assert [error.place for error in refused_by(odd, "argo-workflows")] == [odd.place("trigger.schedule")]
