"""Runs that the runtime did not start, or lost sight of: whose end counts, who is waited for, who died without a word."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest
from stand import Stand, send, settle, settle_until_running

from dbt_flow.records import RunResult, utc_text
from dbt_flow.serve.claim import TAKEN
from dbt_flow.serve.executor import CLAIM
from dbt_flow.serve.watchman import LONG, WAITING_LONG
from dbt_flow.state.begun import note_begun
from dbt_flow.state.runs import RunRecord, RunRef, process_mark
from dbt_flow.state.store import FolderStore


def test_an_end_is_told_when_all_of_it_is_there(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's record is there before its process has gone, and Metaflow has yet to keep what it made."""
    monkeypatch.setattr("dbt_flow.serve.outcomes.LAST_WORDS", 3600.0)
    stand.dag("one", "none")
    stand.dag("two", "{after: one}")
    runtime = stand.runtime()
    writer = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record = RunRecord(FolderStore(stand.state), RunRef("dev", "one", "7"))
    record.begin_attempt(0, {"flow": "One", "run": "One/7", **process_mark(writer.pid)})
    record.settle(RunResult("one", "One", "One/7", "success", "good", "dev", utc_text(), finished=utc_text()))
    for _ in range(5):
        runtime.turn(0)
    assert runtime.log.recent("two") == []
    writer.kill()
    writer.wait()
    settle(runtime, lambda: len(runtime.log.recent("two")) == 1)
    assert runtime.log.recent("two")[0].why == "after One/7"


def test_who_comes_second_to_a_delivery_starts_nothing(stand: Stand) -> None:
    runtime = stand.runtime()
    log = runtime.log
    with log.transaction():
        number = log.add_delivery("one", "ready", {"created": 0.0})
        log.change(number, state="starting", token="mine")
    made = stand.folder / "made"
    line = [sys.executable, "-c", f"open({str(made)!r}, 'a').write('x')"]

    def claim(token: str) -> int:
        words = [sys.executable, "-I", "-S", str(CLAIM), str(log.path), str(number), token, *line]
        return subprocess.run(words, check=False).returncode

    assert claim("of-another-try") == TAKEN and not made.exists()
    assert claim("mine") == 0 and made.read_text() == "x"
    assert log.delivery(number).state == "claimed"
    assert claim("mine") == TAKEN, "though it bears the same token"
    assert made.read_text() == "x"
    log.close()


def test_a_run_that_somebody_started_is_waited_for(stand: Stand) -> None:
    stand.dag("one", "{event: landed}")
    stand.dag("two", "{event: landed}", "overlap: skip\n")
    runtime = stand.runtime()
    header = {
        "pid": os.getpid(),
        "born": psutil.Process().create_time(),
        "host": socket.gethostname(),
        "started": "2026-11-21T00:00:00Z",
    }
    for name in ("one", "two"):
        run = stand.state / f"runs/dev/{name}/7"
        run.mkdir(parents=True)
        (run / "attempt-0.jsonl").write_text(json.dumps({"version": 1, **header}) + "\n")
    runtime.turn(0)
    told = send(runtime, "landed").subscribers
    assert told == {"one": "delivery 1", "two": "skipped: it was running when this was due"}
    for _ in range(10):
        runtime.turn(0)
    assert runtime.executor.children == {} and stand.ended() == {}
    for name in ("one", "two"):
        (stand.state / f"runs/dev/{name}/7/result.json").write_text("{}")
    settle(runtime)
    assert stand.ended() == {"one": 1}


def test_a_run_that_died_before_it_had_a_record_is_told(stand: Stand) -> None:
    stand.dag("one", "none")
    runtime = stand.runtime()
    note_begun(FolderStore(stand.state), "one", "One/7", {"pid": 2**22 + 1, "born": 1.0, "flow": "One"})
    settle(runtime, runtime.log.notices)
    assert [notice["text"] for notice in runtime.log.notices()] == ["One/7 died without a word, and was recorded as failed"]
    assert (stand.state / "runs/unknown/one/7/result.json").exists()


def test_a_run_that_died_with_its_watchers_is_told(stand: Stand) -> None:
    stand.dag("one", "none")
    runtime = stand.runtime()
    run = stand.state / "runs/dev/one/7"
    run.mkdir(parents=True)
    gone = {"pid": 2**22 + 1, "born": 1.0, "host": socket.gethostname(), "started": "2026-11-21T00:00:00Z", "run": "One/7"}
    (run / "attempt-0.jsonl").write_text(json.dumps({"version": 1, "flow": "One", **gone}) + "\n")
    settle(runtime, runtime.log.notices)
    assert [notice["text"] for notice in runtime.log.notices()] == ["One/7 died without a word, and was recorded as failed"]
    assert json.loads((run / "result.json").read_text())["status"] == "failed"


def test_a_run_that_does_not_end_is_told_once(stand: Stand) -> None:
    stand.now = time.time()
    stand.dag("endless", "{event: go}")
    stand.hold("endless")
    runtime = stand.runtime()
    send(runtime, "go")
    settle_until_running(runtime)
    for _ in range(3):
        stand.now += LONG / 2 + 60
        runtime.turn(0)
    long = [notice["text"] for notice in runtime.log.notices() if notice["kind"] == "long"]
    assert len(long) == 1 and "has been running for" in long[0]
    stand.let_go("endless")
    settle(runtime)


def test_a_run_that_does_not_begin_is_told_once(stand: Stand) -> None:
    stand.now = time.time()
    stand.dag("waiting", "{event: go}")
    runtime = stand.runtime()
    runtime.executor.starting = False
    send(runtime, "go")
    for _ in range(4):
        stand.now += WAITING_LONG * 0.4
        runtime.turn(0)
    told = [notice["text"] for notice in runtime.log.notices()]
    assert told == ["waiting has been due for 72 min and has not started"]
