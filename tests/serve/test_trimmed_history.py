"""History is bounded: when its old lines are trimmed, nothing that was heard is heard again, and nothing new is missed."""

from __future__ import annotations

import time
from pathlib import Path

from dbt_flow.records import RunResult, utc_text
from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.outcomes import Outcomes
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import FolderStore

HISTORY = "history/dev/landing.jsonl"


def settle(store: FolderStore, number: int) -> None:
    now = utc_text()
    result = RunResult(
        "landing", "Landing", f"Landing/{number}", "success", "It is good.", "dev", started=now, finished=now, seconds=1.0
    )
    assert RunRecord(store, RunRef("dev", "landing", str(number))).settle(result)


def test_trimming_history_repeats_no_event_and_loses_none(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    log = EventLog(tmp_path)
    outcomes = Outcomes(log, store, "freight", "user.me")
    outcomes.begin(time.time() - 60)
    for number in range(1, 7):
        settle(store, number)
    each = outcomes.tick() // 6
    assert each >= 1
    store.trim(HISTORY, 2)
    assert outcomes.tick() == 0  # it sees the shorter file
    assert outcomes.tick() == 0  # and does not hear its lines again
    settle(store, 7)
    assert outcomes.tick() == each
    store.trim(HISTORY, 1)
    settle(store, 8)  # trimmed and written to between two looks
    assert outcomes.tick() + outcomes.tick() == each
    assert outcomes.tick() == 0


def test_a_history_that_was_removed_is_heard_from_its_beginning(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    outcomes = Outcomes(EventLog(tmp_path), store, "freight", "user.me")
    outcomes.begin(time.time() - 60)
    for number in (1, 2):
        settle(store, number)
    each = outcomes.tick() // 2
    (store.folder / HISTORY).unlink()
    settle(store, 3)
    assert outcomes.tick() + outcomes.tick() == each
