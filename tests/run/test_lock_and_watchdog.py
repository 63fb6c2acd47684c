"""The advisory lock of a DuckDB file, and the thread that stops a run: with real processes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dbt_flow.run.lock import database_lock
from dbt_flow.run.watchdog import LAUNCHER_VARIABLE, PARENT_VARIABLE, Stop, Watchdog

HOLD = """
import sys
from pathlib import Path
from dbt_flow.run.lock import database_lock
with database_lock(Path(sys.argv[1]), "Shop/1 (shopkeepers)", print):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(database: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its stdin is closed."""
    words = [sys.executable, "-c", HOLD, str(database)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("dies", [False, True])
def test_who_waits_says_for_whom_and_goes_on_when_the_holder_ends(tmp_path: Path, dies: bool) -> None:
    database = tmp_path / "new folder" / "shop.duckdb"
    other = holder(database)
    said: list[str] = []

    def waiting(text: str) -> None:
        said.append(text)
        if dies:
            other.kill()
        elif other.stdin is not None:
            other.stdin.close()

    with database_lock(database, "Shop/2", waiting):
        assert said == [f"waiting for shop.duckdb, held by Shop/1 (shopkeepers) (process {other.pid})"]
    other.wait()
    again: list[str] = []
    with database_lock(database, "Shop/3", again.append):
        assert again == [], "whoever died holds nothing"


def test_other_databases_need_no_lock() -> None:
    with database_lock(None, "Shop/1", pytest.fail):
        pass


STOPS = """
import json, os, sys, threading, time
from dbt_flow.run.watchdog import Stop, Watchdog
stopped = []
def on_stop(stop):
    stopped.append([stop.code, stop.reason, threading.current_thread() is not threading.main_thread()])
with Watchdog(float(sys.argv[1]) or None, on_stop):
    print("ready", flush=True)
    until = time.monotonic() + 60
    while not stopped and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)
print(json.dumps(stopped), flush=True)
"""


def watched(timeout: float = 0, **variables: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", STOPS, str(timeout)], stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_raises_nothing_and_is_told_once_from_another_thread(number: int) -> None:
    process = watched()
    for _ in range(3):
        process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    name = {2: "SIGINT", 15: "SIGTERM"}[number]
    assert out.strip() == f'[["run-cancelled", "stopped by {name}", true]]'
    assert process.returncode == 0


def test_the_deadline() -> None:
    out, _ = watched(timeout=0.5).communicate(timeout=120)
    assert "timeout" in out


def test_a_dead_parent_is_no_signal_of_a_person() -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = watched(**{LAUNCHER_VARIABLE: str(os.getpid()), PARENT_VARIABLE: str(parent.pid)})
    parent.kill()
    os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
    process.send_signal(2)  # as the launcher does when it notices
    out, _ = process.communicate(timeout=120)
    parent.wait()
    assert "launcher-gone" in out


def test_a_launcher_that_had_gone_before_is_gone() -> None:
    launcher = subprocess.Popen([sys.executable, "-c", ""])
    launcher.wait()
    out, _ = watched(**{LAUNCHER_VARIABLE: str(launcher.pid)}).communicate(timeout=120)
    assert "launcher-gone" in out


def test_it_ends_with_its_context_and_gives_the_handlers_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stops: list[Stop] = []
    with Watchdog(None, stops.append):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    assert stops == []
