"""Schedules: missed runs, clocks that jump, and both changes of daylight saving, each taken through a whole chain."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from stand import Stand, settle


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def hours(stand: Stand, runtime: object, count: int) -> None:
    """Let hours pass, a quarter at a time."""
    for _ in range(count * 4):
        stand.now += 900  # type: ignore[operator]
        settle(runtime)  # type: ignore[arg-type]


def due(runtime: object, name: str) -> list[str]:
    rows = reversed(runtime.log.recent(name))  # type: ignore[attr-defined]
    return [row.why.removeprefix("schedule: due ") for row in rows]


@pytest.mark.parametrize(
    ("day", "starts"),
    [
        # The hour from 02:00 to 03:00 does not exist: the start at 02:30 is left out, the one at 06:00 moves with the clocks.
        ("2026-03-29", ["2026-03-29T04:00:00.000Z", "2026-03-30T00:30:00.000Z", "2026-03-30T04:00:00.000Z"]),
        # The hour comes twice, and so does the start.
        ("2026-10-25", ["2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z", "2026-10-25T05:00:00.000Z"]),
    ],
)
def test_a_chain_through_a_change_of_the_clocks(stand: Stand, day: str, starts: list[str]) -> None:
    stand.now = at(day) - 3 * 3600  # before midnight in Berlin
    stand.dag("early", '{schedule: ["30 2 * * *", "0 6 * * *"]}', "timezone: Europe/Berlin\n")
    stand.dag("risk", "{after: early}")
    stand.dag("report", '{after: [risk], at_latest: "07:00"}', "timezone: Europe/Berlin\n")
    runtime = stand.runtime()
    # Ends of runs bear the real clock, which stands elsewhere: what counts here is what starts, and how often.
    hours(stand, runtime, 34 if day == "2026-03-29" else 12)
    assert due(runtime, "early") == starts
    assert stand.ended() == {"early": len(starts), "risk": len(starts), "report": len(starts)}


def test_missed_starts_make_one_up(stand: Stand) -> None:
    stand.now = at("2026-11-20T05:00")
    stand.dag("hourly", '{schedule: "0 * * * *"}')
    runtime = stand.runtime()
    runtime.turn(0)
    runtime.log.close()
    stand.now = at("2026-11-20T09:30")
    runtime = stand.runtime()
    settle(runtime)
    assert due(runtime, "hourly") == ["2026-11-20T09:00:00.000Z, made up 30 min late"]
    assert sum(notice["kind"] == "missed" for notice in runtime.log.notices()) == 3


def test_starts_that_are_too_old_are_skipped_and_told(stand: Stand) -> None:
    stand.now = at("2026-11-10T05:00")
    stand.dag("weekly", '{schedule: "0 6 * * 2"}')
    stand.dag("daily", '{schedule: "0 6 * * *"}')
    runtime = stand.runtime()
    runtime.turn(0)
    runtime.log.close()
    stand.now = at("2026-11-20T05:00")
    runtime = stand.runtime()
    settle(runtime)
    (weekly,) = runtime.log.recent("weekly")
    assert weekly.state == "skipped"
    assert weekly.note == (
        "2 starts, from 2026-11-10 06:00 UTC to 2026-11-17 06:00 UTC: the runtime was down, for more than a day"
    )
    made_up, skipped = runtime.log.recent("daily")
    assert (made_up.status, skipped.state) == ("success", "skipped")
    assert skipped.note.startswith("9 starts, from 2026-11-10 06:00 UTC to 2026-11-18 06:00")
    told = {notice["subscriber"]: notice for notice in runtime.log.notices()}
    assert told["weekly"]["kind"] == "missed" and "weekly was not started: 2 starts" in told["weekly"]["text"]
    assert stand.ended() == {"daily": 1}


def test_a_clock_that_jumps(stand: Stand) -> None:
    stand.now = at("2026-11-20T05:59")
    stand.dag("daily", '{schedule: "0 6 * * *"}')
    runtime = stand.runtime()
    settle(runtime)
    for text in ("2026-11-20T06:00", "2026-11-20T05:00", "2026-11-20T06:00", "2026-11-19T06:00", "2026-11-20T07:00"):
        stand.now = at(text)
        settle(runtime)
    assert stand.ended() == {"daily": 1}
    for text in ("2026-11-20T05:00", "2026-11-20T06:00"):  # nor by a runtime that first sees the clock set back
        runtime.log.close()
        stand.now = at(text)
        runtime = stand.runtime()
        settle(runtime)
    assert stand.ended() == {"daily": 1}
    stand.now = at("2027-11-20T05:00")
    settle(runtime)
    assert stand.ended() == {"daily": 2}


def test_a_schedule_that_changes_owes_nothing(stand: Stand) -> None:
    stand.now = at("2026-11-20T12:00")
    stand.dag("daily", '{schedule: "0 18 * * *"}')
    runtime = stand.runtime()
    settle(runtime)
    runtime.log.close()
    stand.dag("daily", '{schedule: "0 13 * * *"}')
    stand.now = at("2026-11-20T14:00")
    runtime = stand.runtime()
    settle(runtime)
    assert stand.ended() == {}
    stand.now = (datetime.fromtimestamp(stand.now, timezone.utc) + timedelta(hours=24)).timestamp()
    settle(runtime)
    assert stand.ended() == {"daily": 1}
