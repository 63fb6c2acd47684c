"""``dbt-flow serve`` as a process, with real DAGs on DuckDB: a chain, one of them failing, killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop, open_shop

from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.runtime import running_at
from dbt_flow.settings import load_settings

DAGS = {
    "orders": {"select": "customers orders stg_customers stg_orders clean_orders", "trigger": {"event": "landed"}},
    "sums": {"select": "totals", "trigger": {"after": "orders"}},
    "flaky": {"select": "flaky", "trigger": {"after": "orders"}},
    "reports": {"select": "report", "trigger": {"after": ["sums", "flaky"]}},
    "anyway": {"select": "report", "trigger": {"after": {"any": ["sums", "flaky"]}}},
}


class Service:
    """The server's process, and its log."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.settings = load_settings(start=shop.folder, environ={})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.shop.folder / "serve.log").open("ab") as log:
            command = [sys.executable, "-m", "dbt_flow", "serve", "--port", "0"]
            self.process = subprocess.Popen(
                command, cwd=self.shop.folder, env=self.shop.environment(), stdout=log, stderr=subprocess.STDOUT
            )
        pid = self.process.pid
        self.wait(lambda: (running_at(self.settings) or {}).get("pid") == pid)

    def stop(self, number: int) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(180)

    def cli(self, *words: str) -> str:
        command = [sys.executable, "-m", "dbt_flow", *words]
        done = subprocess.run(
            command, cwd=self.shop.folder, env=self.shop.environment(), capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self) -> EventLog:
        return EventLog(self.settings.state, readonly=True)

    def rows(self) -> dict[str, list[tuple[str, str | None]]]:
        found: dict[str, list[tuple[str, str | None]]] = {}
        for row in reversed(self.log().recent(limit=100)):
            found.setdefault(row.subscriber, []).append((row.state, row.status))
        return found

    def wait(self, until: object, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not until():  # type: ignore[operator]
            assert time.monotonic() < deadline, (self.shop.folder / "serve.log").read_text()
            time.sleep(0.1)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    shop = open_shop(tmp_path, dags=DAGS)
    (tmp_path / "dbt_flow.yml").write_text("owners: {shopkeepers: {}}\n")
    found = Service(shop)
    yield found
    if found.process and found.process.poll() is None:
        found.process.kill()
        found.process.wait()
    for process in shop.processes():
        os.kill(process.pid, signal.SIGKILL)


def test_a_chain_of_four_and_the_server_killed_in_between(service: Service) -> None:
    shop = service.shop
    shop.control("flaky", fail=True)
    shop.control("clean_orders", sleep=120)
    service.start()
    told = [json.loads(service.cli("events", "publish", "landed", "--id", "1", "--json"))["consumers"]]
    assert told == [{"orders": "starts delivery 1"}]
    for _ in range(2):
        with pytest.raises(AssertionError, match="has that name and id"):
            service.cli("events", "publish", "landed", "--id", "1")
    service.wait(
        lambda: service.rows()["orders"] == [("running", None)] and any(shop.folder.glob(".dbt_flow/runs/*/orders/*/plan.json"))
    )
    service.stop(signal.SIGKILL)
    shop.control("clean_orders")
    service.start()
    done = {
        "orders": [("done", "success")],
        "sums": [("done", "success")],
        "flaky": [("done", "failed")],
        "anyway": [("done", "success")],
    }
    service.wait(lambda: service.rows() == done)
    results = [json.loads(file.read_text()) for file in shop.folder.glob(".dbt_flow/runs/*/orders/*/result.json")]
    assert sorted(result["status"] for result in results) == ["failed", "success"]
    (delivery,) = service.log().recent("orders")
    assert delivery.tries == 2 and delivery.note.startswith("try 1: Orders/")
    (sums,) = (json.loads(file.read_text()) for file in shop.folder.glob(".dbt_flow/runs/*/sums/*/result.json"))
    assert sums["trigger"] == f"after {delivery.run}"
    tags = json.loads(next(shop.folder.glob(f".metaflow/{delivery.run}/_meta/_self.json")).read_text())["tags"]
    assert f"dbt_flow_delivery:{delivery.id}" in tags
    assert "waits for flaky" in service.cli("list")
    # Somebody repeats what failed, by hand: what waits for it hears it all the same.
    shop.control("flaky")
    service.cli("run", "flaky")
    service.wait(lambda: service.rows().get("reports") == [("done", "success")])
    assert service.stop(signal.SIGTERM) == 0
    assert shop.processes() == []


def test_it_drains(service: Service) -> None:
    service.shop.control("clean_orders", sleep=1.5)
    service.start()
    service.cli("events", "publish", "landed")
    service.wait(lambda: service.rows().get("orders") == [("running", None)])
    assert service.stop(signal.SIGTERM) == 0
    assert service.rows()["orders"] == [("done", "success")]
    # What its end is to start is not lost: it starts when the runtime does.
    service.start()
    service.wait(lambda: service.rows().get("sums") == [("done", "success")])
