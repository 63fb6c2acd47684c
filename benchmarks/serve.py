"""What the local event runtime costs: events a second, the way from an upstream's success to its downstream's start, memory.

``python benchmarks/serve.py``: prints a table. Runs are stand-ins, so that neither Metaflow's start nor dbt is measured.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from dbt_flow.serve.event import make

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "serve"))

from stand import Stand
from test_webhook import served

RESULT = json.dumps(
    {
        "dag": "d",
        "flow": "D",
        "run": "D/1",
        "status": "success",
        "reason": "",
        "target": "dev",
        "started": "2026-11-21T00:00:00Z",
    }
)


def new(folder: str) -> Stand:
    """A root without DAGs."""
    path = Path(folder)
    (path / "dags").mkdir()
    (path / "dbt_project.yml").write_text("name: shop\n")
    (path / "dbt_flow.yml").write_text("owners: {team: {}}\n")
    return Stand(path)


def accepted(senders: int = 8, count: int = 4000) -> float:
    """Events a second over HTTP, each on the disk before it is answered."""
    with tempfile.TemporaryDirectory() as folder:
        stand = new(folder)
        stand.dag("one", "{event: landed}")
        with served(stand) as (_, url):
            address = url.removeprefix("http://")

            def work(first: int) -> None:
                connection = http.client.HTTPConnection(address)
                for number in range(first, count, senders):
                    body = json.dumps({"name": "other", "payload": {"id": str(number), "x": "y" * 200}})
                    connection.request("POST", "/metaflow-event", body, {"Content-Type": "application/json"})
                    assert connection.getresponse().read()

            begin = time.perf_counter()
            with ThreadPoolExecutor(senders) as pool:
                list(pool.map(work, range(senders)))
            return count / (time.perf_counter() - begin)


def latency(rounds: int = 20, dags: int = 1) -> list[float]:
    """Seconds from the line in an upstream's record to the first line of its downstream's process."""
    with tempfile.TemporaryDirectory() as folder:
        stand = new(folder)
        stand.dag("one", "{event: landed}")
        stand.dag("two", "{after: one}")
        for number in range(dags - 2):
            stand.dag(f"d{number}", "none")
            run = stand.state / "runs/dev" / f"d{number}" / "1"
            run.mkdir(parents=True)
            (run / "result.json").write_text(RESULT)
            history = stand.state / "history/dev"
            history.mkdir(parents=True, exist_ok=True)
            (history / f"d{number}.jsonl").write_text("{}\n")
        found: list[float] = []
        with served(stand) as (runtime, _):
            for number in range(rounds):
                runtime.post(make("landed", {"id": str(number)}, time.time()))
                while len([line for line in stand.journal() if line[0] == "end" and line[2] == "two"]) <= number:
                    time.sleep(0.02)
            starts = {line[3]: int(line[3]) / 1e6 for line in stand.journal() if line[0] == "start" and line[2] == "two"}
            ends = sorted(file.stat().st_mtime for file in stand.state.glob("runs/dev/one/*/result.json"))
            found = [start - end for start, end in zip(sorted(starts.values()), ends, strict=True)]
    return found


def memory(dags: int = 1000, events: int = 10_000) -> tuple[float, float, float]:
    """Resident megabytes with many DAGs and many events that wait, and the seconds of an idle turn."""
    process = psutil.Process()
    before = process.memory_info().rss
    with tempfile.TemporaryDirectory() as folder:
        stand = new(folder)
        for number in range(dags):
            stand.dag(f"d{number}", f"{{after: [d{number // 2}, d{number // 3}]}}" if number > 5 else f"{{event: e{number}}}")
        runtime = stand.runtime(jobs=1)
        runtime.executor.starting = False
        for number in range(events):
            with runtime.log.transaction():
                runtime._accept(make(f"e{number % 6}", {"id": str(number), "text": "x" * 100}, time.time()))
        begin = time.process_time()
        for _ in range(50):
            runtime.turn(0)
        turn = (time.process_time() - begin) / 50
        after = process.memory_info().rss
        runtime.log.close()
    return before / 1e6, after / 1e6, turn


def main() -> None:
    """Measure, and print."""
    rows = [("events accepted a second, 8 senders", f"{accepted():.0f}")]
    for dags in (2, 1000):
        found = latency(dags=dags)
        words = f"{statistics.median(found):.3f} s median, {max(found):.3f} s most"
        rows.append((f"upstream's record to downstream's process, {dags} DAGs", words))
    before, after, turn = memory()
    rows.append(("memory with 1,000 DAGs and 10,000 events that wait", f"{after:.0f} MB ({before:.0f} MB before)"))
    rows.append(("CPU of an idle turn with them", f"{turn * 1000:.1f} ms (ten a second)"))
    for name, value in rows:
        print(f"{name:<60} {value}")


if __name__ == "__main__":
    main()
