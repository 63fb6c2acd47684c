"""``done_by``: late, also when nothing began; at risk, with the node that is slow; told once."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from told_runs import PLAN, rules, run

from dbt_flow.records import utc_text
from dbt_flow.report import lateness as lateness_of
from dbt_flow.report import sender
from dbt_flow.report.deadlines import Progress, at_risk, deadlines, lateness, overdue, schedule_delay
from dbt_flow.report.lateness import DeadlineWatch, done_late, tell_late
from dbt_flow.report.news_kept import open_incidents
from dbt_flow.report.outbox import Outbox
from dbt_flow.report.rounds import go_round, runs_of
from dbt_flow.state.durations import learn_durations
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import FolderStore

UTC = timezone.utc


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def line(status: str, started: str) -> dict[str, Any]:
    return {"status": status, "started": started, "run": "Risk/1", "seconds": 60}


DAILY = rules(done_by="07:00", timezone="America/Chicago")  # 13:00 UTC in winter, 12:00 in summer


def test_deadlines_follow_the_clocks() -> None:
    before, coming = deadlines(DAILY, at("2026-11-21T12:59")) or (None, None)
    assert (before, coming) == (at("2026-11-20T13:00"), at("2026-11-21T13:00"))
    assert (deadlines(DAILY, at("2026-07-01T11:00")) or (None, None))[1] == at("2026-07-01T12:00")
    assert deadlines(rules(), at("2026-11-21T12:59")) is None


@pytest.mark.parametrize(
    ("history", "how"),
    [
        ([], "has not started"),
        ([line("running", "2026-11-21T12:00:00Z")], "is still running"),
        ([line("failed", "2026-11-21T12:00:00Z")], "is not good"),
        ([line("success", "2026-11-21T12:00:00Z")], None),
        ([line("success", "2026-11-20T12:00:00Z")], "has not started"),
        ([line("failed", "2026-11-21T12:30:00Z"), line("success", "2026-11-20T14:00:00Z")], None),
        ([{"status": "success", "started": "nonsense"}], "has not started"),
    ],
)
def test_late_also_when_nothing_began(history: list[dict[str, Any]], how: str | None) -> None:
    late = overdue(DAILY, history, at("2026-11-21T13:10"))
    if how is None:
        assert late is None
    else:
        assert late is not None
        assert late.headline == f"risk is late: it {how}, and should have been done by 07:00 (10 min 00 s ago)"


def test_a_schedule_is_due_only_after_its_starts() -> None:
    weekdays = rules(done_by="07:00", scheduled=("0 6 * * 1-5",))
    assert overdue(weekdays, [], at("2026-11-20T07:30")) is not None  # a Friday
    assert overdue(weekdays, [], at("2026-11-21T07:30")) is None  # a Saturday


def test_lateness_and_delay() -> None:
    assert lateness(rules(done_by="07:00"), run(1, 6)) == -3600
    assert lateness(rules(done_by="05:59"), run(1, 7)) is not None
    assert lateness(rules(), run()) is None
    assert schedule_delay(rules(scheduled=("50 5 * * *",)), run(1, 6)) is None
    object.__setattr__(started := run(1, 6), "trigger", "schedule 50 5 * * *")
    assert schedule_delay(rules(scheduled=("50 5 * * *",)), started) == 540


USUAL = {"model.f.stg": 60.0, "test.f.stg_id": 10.0, "model.f.fct": 600.0, "model.f.mart": 120.0, "model.f.alone": 5.0}


@pytest.mark.parametrize(
    ("running", "done", "deadline", "node"),
    [
        ({}, set(), "06:20", None),
        ({}, set(), "06:10", "model.f.fct"),
        ({"model.f.fct": "05:55"}, {"model.f.stg", "test.f.stg_id"}, "06:08", None),
        ({"model.f.stg": "05:55"}, set(), "06:08", "model.f.stg"),  # it takes five times as long as it should
        ({}, {"model.f.stg", "test.f.stg_id", "model.f.fct", "model.f.mart"}, "06:01", None),
    ],
)
def test_at_risk_names_the_slow_node(running: dict[str, str], done: set[str], deadline: str, node: str | None) -> None:
    progress = Progress({key: at(f"2026-11-21T{time}") for key, time in running.items()}, frozenset(done))
    risk = at_risk(PLAN, USUAL, progress, at(f"2026-11-21T{deadline}"), at("2026-11-21T06:00"))
    assert (risk.node if risk else None) == node
    if risk:
        assert PLAN.by_id[risk.node].name in risk.headline
        assert risk.headline.startswith("risk will be late: done at about 06:")
    assert at_risk(PLAN, {}, progress, at("2026-11-21T05:00"), at("2026-11-21T06:00")) is None


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    monkeypatch.setattr(sender, "start", lambda _: None)
    return FolderStore(tmp_path)


def test_a_dag_that_never_started_is_told_once_and_mended_by_a_good_run(store: FolderStore) -> None:
    late = overdue(DAILY, [], at("2026-11-21T13:10"))
    assert late is not None
    assert tell_late(store, DAILY, "prod", late)
    assert not tell_late(store, DAILY, "prod", late)
    page, notice = Outbox(store).waiting()
    assert (page.action, page.severity, page.dedup) == ("trigger", "warning", "dbt_flow/freight/prod/risk/late")
    assert page.details["start"] == "dbt-flow run risk"
    assert notice.action == "notice"
    assert [incident.nodes for incident in open_incidents(store, "prod", "risk")] == [("late",)]


def test_a_round_tells_who_is_late_and_starts_a_sender(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(sender, "start", started.append)
    known = [(DAILY, "prod"), (rules(dag="other"), None)]
    assert go_round(store, known, at("2026-11-21T12:50")) == []  # yesterday's is no news
    assert go_round(store, known, at("2026-11-21T13:01")) == [
        "risk is late: it has not started, and should have been done by 07:00 (1 min 00 s ago)"
    ]
    assert len(started) == 2  # for the page, and because something waits
    assert go_round(store, known, at("2026-11-21T13:02")) == []
    record = RunRecord(store, RunRef("prod", "risk", "7"))
    record.begin_attempt(0, {"run": "Risk/7"})
    assert [line["status"] for line in runs_of(store, "risk", "prod")] == ["running"]


def test_a_run_watches_its_own_deadline(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    learn_durations(store, "prod", run().nodes)
    record = RunRecord(store, RunRef("prod", "risk", "1"))
    now = datetime.now(UTC)
    soon = now + timedelta(minutes=2)
    mine = rules(done_by=f"{soon:%H:%M}")
    watch = DeadlineWatch(store, mine, utc_text(now))
    monkeypatch.setattr(lateness_of, "usual_durations", lambda *_: dict.fromkeys(USUAL, 100.0))
    blank = run()
    said = watch.look(record, PLAN, blank, (), {})
    assert said is not None
    assert "will be late" in said or "the longest that is left" in said
    assert watch.look(record, PLAN, blank, (), {}) is None
    assert [message.action for message in Outbox(store).waiting()] == ["notice"]  # nobody is paged for what may still go well
    monkeypatch.setattr(lateness_of, "utc_text", lambda *_: utc_text(soon + timedelta(minutes=1)))
    assert "it is late" in (watch.look(record, PLAN, blank, (), {}) or "")
    assert watch.look(record, PLAN, blank, (), {}) is None
    again = DeadlineWatch(store, mine, utc_text(now))  # the next attempt of the same run
    assert again.look(record, PLAN, blank, (), {}) is None


def test_a_good_run_that_ends_late_is_a_message_and_no_page() -> None:
    mine = rules(done_by="06:30")
    late = run(1, 7)
    object.__setattr__(late, "started", "2026-11-21T06:00:00.000Z")
    (message,) = done_late(mine, late, ())
    assert (message.action, message.title) == ("notice", "risk: it is done, 30 min 00 s after 06:30")
    assert done_late(mine, run(1, 6), ()) == ()
