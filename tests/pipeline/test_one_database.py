"""DuckDB lets one process hold a file: runs of ours wait for each other, a stranger is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from shop import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    dags = {"one": {"select": "+slow", "exclude": "test_name:relationships"}, "two": {"select": "customers"}}
    opened = open_shop(tmp_path_factory.mktemp("shop"), dags=dags)
    yield opened
    opened.close()


def test_two_runs_on_one_file_take_turns(shop: Shop) -> None:
    wait = shop.folder / "control/slow.sleep"
    wait.unlink()
    os.mkfifo(wait)  # DuckDB reads it when somebody writes
    first = shop.start(*shop.command("one"))
    built = first.builds("slow", "one")
    second = shop.start(*shop.command("two"))
    second.until(lambda: "waiting for dev.duckdb" in second.stderr)
    assert first.process.poll() is None
    assert f"held by {built.run} (shopkeepers)" in second.stderr, second.stderr
    wait.write_text("0")
    one, two = first.end(), second.end()
    assert (one.code, two.code) == (0, 0), one.stderr + two.stderr
    assert two.json["status"] == "success"


def test_a_strange_process_that_holds_the_file_is_named(shop: Shop) -> None:
    database = str(shop.folder / "dev.duckdb")
    program = f"import duckdb, time; c = duckdb.connect({database!r}); print('open', flush=True); time.sleep(600)"
    stranger = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert stranger.stdout and stranger.stdout.readline() == "open\n"
        ran = shop.run("two")
        assert stranger.poll() is None, "it was not waited for"
    finally:
        stranger.kill()
        stranger.wait()
    assert (ran.code, ran.json["status"]) == (1, "failed")
    assert ran.json["error"]["code"] == "database-locked"
    assert str(stranger.pid) in ran.json["error"]["message"], ran.json["error"]
    assert ran.json["error"]["hint"]
    assert set(ran.statuses.values()) == {"lost"}
    assert "Traceback" not in ran.stderr
