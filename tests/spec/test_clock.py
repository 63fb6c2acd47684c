"""Schedules through both changes of the clocks, on both sides of the Atlantic; and what a trigger is called in words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_flow.spec import Dag, clock_warnings, next_starts

UTC = timezone.utc


def dag(cron: str | list[str], zone: str = "UTC") -> Dag:
    return Dag.from_dict(
        {"name": "x", "file": "dags/x.yaml", "keys": {"owner": "o", "timezone": zone, "trigger": {"schedule": cron}}}
    )


def starts(cron: str | list[str], zone: str, after: str, count: int) -> list[str]:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    return [f"{start.at:%m-%d %H:%M%z}" for start in next_starts(dag(cron, zone), moment, count)]


BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 6 * * *", BERLIN, "2027-03-27T00:00", ["03-27 06:00+0100", "03-28 06:00+0200"]),
        # 02:30 does not exist on the day that clocks go forward: no start.
        ("30 2 * * *", BERLIN, "2027-03-27T00:00", ["03-27 02:30+0100", "03-29 02:30+0200"]),
        ("30 2 * * *", NEW_YORK, "2027-03-13T00:00", ["03-13 02:30-0500", "03-15 02:30-0400"]),
        # 02:30 (01:30 in New York) comes twice on the day that they go back: two starts.
        ("30 2 * * *", BERLIN, "2027-10-30T12:00", ["10-31 02:30+0200", "10-31 02:30+0100", "11-01 02:30+0100"]),
        ("30 1 * * *", NEW_YORK, "2027-11-06T12:00", ["11-07 01:30-0400", "11-07 01:30-0500", "11-08 01:30-0500"]),
        # Half-hourly goes on evenly through both.
        ("*/30 * * * *", BERLIN, "2027-03-28T00:00", ["03-28 01:30+0100", "03-28 03:00+0200", "03-28 03:30+0200"]),
        (
            "*/30 * * * *",
            BERLIN,
            "2027-10-31T00:15",
            ["10-31 02:30+0200", "10-31 02:00+0100", "10-31 02:30+0100", "10-31 03:00+0100"],
        ),
        (
            ["0 6 * * *", "0 6,18 * * *"],
            "UTC",
            "2027-01-01T06:00",
            ["01-01 18:00+0000", "01-02 06:00+0000", "01-02 18:00+0000"],
        ),
        ("0 0 29 2 *", "UTC", "2026-11-21T00:00", ["02-29 00:00+0000", "02-29 00:00+0000"]),
    ],
)
def test_starts_follow_the_wall_clock(cron: str, zone: str, after: str, expected: list[str]) -> None:
    assert starts(cron, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "zone", "days"),
    [
        ("30 2 * * *", BERLIN, ["2027-03-28 is skipped", "2027-10-31 is doubled"]),
        ("30 2 * * *", NEW_YORK, ["2027-03-14 is skipped"]),
        ("30 1 * * *", NEW_YORK, ["2027-11-07 is doubled"]),
        ("0 */2 * * *", BERLIN, ["2027-03-28 is skipped", "2027-10-31 is doubled"]),
        ("0 3 * * *", BERLIN, []),
        ("0 6 * * *", BERLIN, []),
        ("*/15 * * * *", BERLIN, []),
        ("30 2 * * *", "UTC", []),
        ("30 2 * * 1-5", BERLIN, []),
        ("0 2 * * *", "Australia/Lord_Howe", ["2026", "2027"]),
    ],
)
def test_what_a_change_of_the_clocks_does_is_said_before(cron: str, zone: str, days: list[str]) -> None:
    found = clock_warnings(dag(cron, zone), datetime(2026, 11, 21, tzinfo=UTC))
    if zone == "Australia/Lord_Howe":  # a change of half an hour
        assert all("Lord_Howe" in warning.message for warning in found)
        return
    assert [day in warning.message for day, warning in zip(days, found, strict=True)] == [True] * len(days)
    assert all(warning.code == "clock-change" and warning.hint for warning in found)


CRONS = st.tuples(
    st.sampled_from(["0", "30", "*/15", "*", "5,50"]), st.sampled_from(["*", "2", "1-3", "*/2", "0"]),
    st.sampled_from(["*", "1", "28-31"]), st.sampled_from(["*", "3", "10,11"]), st.sampled_from(["*", "0", "1-5"]),
).map(" ".join)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(cron=CRONS, zone=st.sampled_from([BERLIN, NEW_YORK, "UTC", "Australia/Lord_Howe"]), hour=st.integers(0, 24 * 365))
def test_starts_are_later_ordered_and_on_the_minute(cron: str, zone: str, hour: int) -> None:
    after = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(hours=hour)
    found = [start.at.astimezone(UTC) for start in next_starts(dag(cron, zone), after, 6)]
    assert len(found) == 6
    assert all(one < other for one, other in pairwise([after, *found]))
    assert all(moment.second == moment.microsecond == 0 for moment in found)


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        ({"schedule": "0 6 * * *"}, "every day at 06:00 Europe/Berlin"),
        ({"schedule": "30 6 * * 1-5"}, "every weekday at 06:30 Europe/Berlin"),
        ({"schedule": "0 6 * * 7"}, "every Sunday at 06:00 Europe/Berlin"),
        ({"schedule": "0 6 1 * *"}, "on day 1 of every month at 06:00 Europe/Berlin"),
        ({"schedule": "5 * * * *"}, "every hour at :05"),
        ({"schedule": "*/5 8-18 * * *"}, "*/5 8-18 * * * Europe/Berlin"),
        ({"schedule": ["0 6 * * *", "0 18 * * *"]}, "every day at 06:00 Europe/Berlin and every day at 18:00 Europe/Berlin"),
        ({"event": "carrier_files_landed"}, "on event carrier_files_landed"),
        ({"after": "a"}, "after a"),
        ({"after": ["a", "b"]}, "after a and b"),
        ({"after": {"all": ["a", "b", "c"]}}, "after a, b and c"),
        ({"after": {"any": ["a", "b"]}}, "after a or b"),
        ("none", "by hand"),
    ],
)
def test_a_trigger_in_words(trigger: object, text: str) -> None:
    keys = {"owner": "o", "timezone": "Europe/Berlin", "trigger": trigger}
    assert Dag.from_dict({"name": "x", "keys": keys}).trigger.text == text


def test_no_schedule_has_no_starts() -> None:
    by_hand = Dag.from_dict({"name": "x", "keys": {"owner": "o"}})
    now = datetime(2026, 11, 21, tzinfo=UTC)
    assert next_starts(by_hand, now) == clock_warnings(by_hand, now) == []
