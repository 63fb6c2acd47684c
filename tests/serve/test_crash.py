"""``kill -9`` at named points and at random moments, under load: every accepted event is delivered once to each subscriber.

``DBT_FLOW_CRASHES`` is how often the server is killed at random; CI does it some dozens of times, a night's run hundreds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from stand import Stand

from dbt_flow.serve.crash import POINTS
from dbt_flow.serve.eventlog import EventLog

CRASHES = int(os.environ.get("DBT_FLOW_CRASHES", "12"))


class Lives:
    """A server that is killed and lives again."""

    def __init__(self, process: subprocess.Popen[str], seconds: float, bad: str) -> None:
        self.process, self.seconds, self.bad = process, seconds, bad
        self.pid, self.url, self.count = 0, "", 0

    def begin(self, crash: str = "-") -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{self.seconds} {self.bad} {crash}\n")
        self.process.stdin.flush()
        pid, self.url = self.process.stdout.readline().split()
        self.pid, self.count = int(pid), self.count + 1

    def begin_if_dead(self, crash: str = "-") -> None:
        if not self.alive():
            self.begin(crash)

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)
        while self.alive():
            time.sleep(0.005)

    def alive(self) -> bool:
        return psutil.pid_exists(self.pid)

    def send(self, name: str, number: int) -> bool:
        """Whether it was taken in."""
        body = json.dumps({"name": name, "payload": {"name": name, "id": f"{name}-{number}", "number": number}}).encode()
        request = urllib.request.Request(f"{self.url}/metaflow-event", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def lives(stand: Stand, seconds: float = 0.0, bad: str = "-") -> Iterator[Lives]:
    script = Path(__file__).parent / "stand_server.py"
    process = subprocess.Popen(
        [sys.executable, str(script), str(stand.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    found = Lives(process, seconds, bad)
    try:
        yield found
    finally:
        if found.pid and found.alive():
            found.kill()
        process.kill()
        process.wait()


def quiet(stand: Stand, server: Lives, seconds: float = 240) -> EventLog:
    """Wait until all is done; begin again whenever it is dead."""
    log, deadline, calm = EventLog(stand.state, readonly=True), time.monotonic() + seconds, 0
    while calm < 8:
        assert time.monotonic() < deadline, [
            dict(row) for row in log.db.execute("SELECT * FROM deliveries WHERE state <> 'done'")
        ]
        server.begin_if_dead()
        counts = log.counts()
        busy = log.untaken(1) or any(counts.get(state) for state in ("ready", "starting", "claimed", "running"))
        calm = 0 if busy else calm + 1
        time.sleep(0.1)
    return log


def results(stand: Stand) -> Counter[str]:
    """How many runs of each DAG have a result."""
    return Counter(file.parent.parent.name for file in stand.state.glob("runs/dev/*/*/result.json"))


def check(stand: Stand, log: EventLog, accepted: list[tuple[str, int]]) -> None:
    """Every accepted event is in the log once, was consumed once by each, and each delivery has one run with a result."""
    names = Counter((row["name"], row["id"]) for row in log.db.execute("SELECT name, id FROM events"))
    for name, number in accepted:
        assert names[name, f"{name}-{number}"] == 1
    done = Counter(row["subscriber"] for row in log.db.execute("SELECT subscriber FROM deliveries WHERE state = 'done'"))
    assert results(stand) == done
    assert not [line for line in stand.journal() if line[0] == "twice"], "two runs of one delivery were alive at once"
    lost = "SELECT * FROM events e WHERE source <> 'run' AND NOT EXISTS (SELECT 1 FROM consumed c WHERE c.event = e.seq)"
    assert not log.db.execute(lost).fetchall()
    waiting = "SELECT count(*) FROM consumed WHERE outcome IN ('starts', 'folded') AND delivery IS NULL"
    assert log.db.execute(waiting).fetchone()[0] == 0


def chain(stand: Stand) -> None:
    stand.dag("one", "{event: {name: landed, params: {number: number}}}", "params: {number: {type: int, default: 0}}\n")
    stand.dag("two", "{after: one}")
    stand.dag("three", "{after: one}")
    stand.dag("four", "{after: [two, three]}")


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point(stand: Stand, point: str, tmp_path: Path) -> None:
    chain(stand)
    with lives(stand, 0.05, bad="three") as server:
        marker = tmp_path / "marker"
        server.begin(f"{point}:{marker}")
        for _ in range(3):
            while not server.send("landed", 1):
                server.begin_if_dead(f"{point}:{marker}")
        log = quiet(stand, server)
        check(stand, log, [("landed", 1)])
        assert marker.exists(), "the point was never passed"
        assert server.count == 2
        assert results(stand) == {"one": 1, "two": 1, "three": 1}


def test_killed_at_random_moments_under_load(stand: Stand) -> None:
    chain(stand)
    for number in range(4):
        stand.dag(f"other{number}", "{event: other}")
    accepted: list[tuple[str, int]] = []
    stop = threading.Event()
    with lives(stand, 0.02) as server:
        server.begin()

        def load() -> None:
            number = 0
            while not stop.is_set():
                name = "landed" if number % 10 == 0 else "other"
                while not server.send(name, number) and not stop.is_set():
                    time.sleep(0.02)
                if not stop.is_set():
                    accepted.append((name, number))
                number += 1
                time.sleep(0.03)

        sender = threading.Thread(target=load)
        sender.start()
        chance = random.Random(5)
        for _ in range(CRASHES):
            time.sleep(chance.expovariate(1 / 0.35))
            server.kill()
            server.begin()
        stop.set()
        sender.join()
        log = quiet(stand, server)
        check(stand, log, accepted)
        assert server.count > CRASHES and len(accepted) > CRASHES
        landed = sum(name == "landed" for name, _ in accepted)
        # Equal starts fold while one waits; those with a number of their own never do.
        assert results(stand)["one"] >= landed
        server.kill(signal.SIGTERM)
