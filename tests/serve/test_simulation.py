"""``dbt-flow simulate`` and ``dbt-flow events``, through the front door."""

from __future__ import annotations

import json

import pytest
from stand import Stand

from dbt_flow.cli import main


@pytest.fixture
def front(stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(stand.folder)
    stand.dag("one", "{event: {name: landed, params: {day: day}}}", "params: {day: {type: date, default: today}}\n")
    stand.dag("two", "{after: one}")
    stand.dag("three", "{after: one}")
    stand.dag("four", '{after: [two, three], at_latest: "07:00", otherwise: run}', "timezone: Europe/Berlin\n")
    stand.dag("nightly", '{schedule: "30 2 * * *"}', "timezone: Europe/Berlin\n")

    def run(*words: str, code: int = 0) -> str:
        assert main(words) == code, capsys.readouterr()
        return capsys.readouterr().out

    return run


def told(text: str) -> list[tuple[str, str, str]]:
    return [(row["subscriber"], row["what"], row["why"]) for row in json.loads(text)["rows"]]


def test_from_an_event(front) -> None:  # type: ignore[no-untyped-def]
    rows = told(front("simulate", "--event", "landed", "-f", "day=2026-11-01", "--hours", "1", "--json"))
    assert rows[0] == ("one", "starts", "on landed (day=2026-11-01)")
    assert sorted(who for who, what, _ in rows if what == "starts") == ["four", "one", "three", "two"]
    rows = told(front("simulate", "--event", "landed", "--fail", "three", "--json", "--hours", "1"))
    assert rows[-1] == ("four", "waits", "for three")
    assert told(front("simulate", "--event", "landed", "-f", "day=soon", "--json"))[0][1] == "is refused"


def test_a_change_of_the_clocks(front) -> None:  # type: ignore[no-untyped-def]
    spring = told(front("simulate", "--at", "2027-03-28T00:00+01:00", "--hours", "20", "--json"))
    assert [who for who, what, _ in spring if what == "starts"] == ["four"]
    assert spring[0][2] == "at 07:00 without two, three"
    autumn = told(front("simulate", "--at", "2026-10-25T00:00+02:00", "--hours", "6", "--json"))
    assert [who for who, what, _ in autumn if what == "starts"] == ["nightly", "nightly"]


def test_what_it_cannot_tell(front) -> None:  # type: ignore[no-untyped-def]
    front("simulate", code=2)
    front("simulate", "--end", "won", code=2)
    front("simulate", "--at", "noon", code=2)


def test_events_wait_for_the_runtime(front, stand: Stand) -> None:  # type: ignore[no-untyped-def]
    assert "delivered when" in front("events", "publish", "landed", "--payload", '{"day": "2026-11-02"}')
    front("events", "publish", "landed", "--payload", "[]", code=2)
    front("events", "publish", "metaflow.x.end", code=2)
    runtime = stand.runtime()
    assert [row.params for row in runtime.log.recent("one")] == [{"day": "2026-11-02"}]
    front("events", "replay", "1", "--to", "two")
    runtime.turn(0)
    rows = json.loads(front("events", "list", "--json"))["events"]
    assert [row["consumers"] for row in rows] == [{"two": "starts delivery 2"}, {"one": "starts delivery 1"}]
