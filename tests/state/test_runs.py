"""The record of runs: settled once, newer versions refused, the dead told from the living."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dbt_flow.errors import StateError
from dbt_flow.records import NodeResult, RunResult
from dbt_flow.state.history import history
from dbt_flow.state.runs import RunRecord, RunRef, find_run, find_runs, newest_run, process_mark, still_runs
from dbt_flow.state.store import FolderStore


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return RunRecord(FolderStore(tmp_path / "state"), RunRef("dev", "shop", "12"))


def result(status: str = "success", *, run: str = "Shop/12", started: str = "2026-11-01T00:00:00.000Z") -> RunResult:
    nodes = (NodeResult("model.shop.a", "success"), NodeResult("model.shop.b", "error", message="no\nsuch column"))
    return RunResult(dag="shop", flow="Shop", run=run, status=status, reason="", target="dev", started=started, nodes=nodes)


def test_a_run_is_settled_once_whoever_comes_second(record: RunRecord) -> None:
    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(lambda n: record.settle(result("failed" if n % 2 else "cancelled")), range(16)))
    assert wins.count(True) == 1
    kept = record.result()
    assert kept == result("failed" if wins.index(True) % 2 else "cancelled")
    [line] = history(record.store, "shop")
    assert line["status"] == kept.status, "history has one line, of the one that won"


def test_an_attempt_is_read_back_as_it_was_told(record: RunRecord) -> None:
    record.begin_attempt(0, {"flow": "Shop", "launcher": {}})
    record.node_started(0, "model.shop.a", "2026-11-01T00:00:00.000Z")
    record.node_ended(0, NodeResult("model.shop.a", "success", rows=3))
    record.node_started(0, "model.shop.b", "2026-11-01T00:00:01.000Z")
    record.begin_attempt(10, {})
    record.begin_attempt(2, {})
    first, *others = record.attempts()
    assert [other.number for other in others] == [2, 10], "attempts are sorted as numbers"
    assert first.results == (NodeResult("model.shop.a", "success", rows=3),)
    assert set(first.started) == {"model.shop.a", "model.shop.b"}
    assert first.header["flow"] == "Shop"
    assert first.alive, "this process writes it"


def test_a_newer_version_is_refused_and_left_alone(record: RunRecord) -> None:
    record.put("result.json", {**result().to_dict(), "version": 99})
    record.put("plan.json", {"version": 99})
    for read in (record.result, lambda: record.get("plan.json")):
        with pytest.raises(StateError) as caught:
            read()
        assert caught.value.code == "state-version"
        assert "99" in caught.value.message
    assert not record.settle(result()), "what a newer dbt-flow wrote is not written over"
    with pytest.raises(StateError):
        record.result()


def test_keys_of_a_later_minor_version_are_no_obstacle(record: RunRecord) -> None:
    document = result().to_dict()
    record.put("result.json", {**document, "mood": "good", "nodes": [{**node, "colour": "red"} for node in document["nodes"]]})
    assert record.result() == result()


def test_runs_are_found_newest_first(record: RunRecord) -> None:
    store = record.store
    for target, number in (("dev", "9"), ("dev", "12"), ("prod", "100")):
        RunRecord(store, RunRef(target, "shop", number)).put("plan.json", {})
    assert [ref.number for ref in find_runs(store, "shop", "dev")] == ["12", "9"]
    assert find_run(store, "shop", "100") == RunRef("prod", "shop", "100")
    assert find_run(store, "shop", "1") is None
    assert find_run(store, "other", "12") is None


def test_a_damaged_line_of_history_costs_that_line(record: RunRecord) -> None:
    record.settle(result())
    with (record.store.folder / "history/dev/shop.jsonl").open("ab") as stream:
        stream.write(b'{"run": "Shop/13", "sta')
    other = RunRecord(record.store, RunRef("dev", "shop", "14"))
    other.settle(result(run="Shop/14", started="2026-11-02T00:00:00.000Z"))
    assert [line["run"] for line in history(record.store, "shop")] == ["Shop/14", "Shop/12"]


def test_a_dead_process_is_dead_even_while_nobody_has_waited_for_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = process_mark(child.pid)
    assert still_runs(mark)
    assert not still_runs({**mark, "born": mark["born"] - 60}), "a later process with the same id is another one"
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert not still_runs(mark)
    child.wait()
    assert not still_runs(mark)
    assert not still_runs({})


def test_between_two_attempts_a_run_is_alive_by_its_launcher(record: RunRecord) -> None:
    launcher = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = {"pid": 2**22 + 1, "born": 0.0}
    try:
        record.begin_attempt(0, {"launcher": process_mark(launcher.pid), **gone})
        assert record.attempts()[0].alive
        record.begin_attempt(1, {"launcher": process_mark(os.getpid()), **gone})
        assert not record.attempts()[1].alive, "the launcher itself does not wait for itself"
    finally:
        launcher.kill()
        launcher.wait()
    assert not record.attempts()[0].alive


def test_a_run_of_another_host_is_taken_as_alive(record: RunRecord) -> None:
    record.begin_attempt(0, {"host": "another.example", "pid": 2**22 + 1})
    assert record.attempts()[0].alive


def test_runs_of_a_scheduler_stand_where_they_belong_in_time(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    began = {
        "argo-shop.prod.shop-zz9": "2026-11-01T06:00:00.000Z",
        "1795309115325193": "2026-11-22T00:58:35.325Z",
        "argo-shop.prod.shop-aa1": "2026-11-23T06:00:00.000Z",
    }
    for number, at in began.items():
        result = RunResult("shop", "Shop", f"Shop/{number}", "success", "It is good.", "dev", started=at, finished=at)
        assert RunRecord(store, RunRef("dev", "shop", number)).settle(result)
    RunRecord(store, RunRef("dev", "shop", "argo-shop.prod.shop-mm5")).begin_attempt(0, {})
    RunRecord(store, RunRef("dev", "shop", "1700000000000000")).begin_attempt(0, {})
    found = [ref.number for ref in find_runs(store, "shop", "dev")]
    assert found == ["argo-shop.prod.shop-mm5", *reversed(began), "1700000000000000"]
    RunRecord(store, RunRef("prod", "shop", "argo-shop.prod.shop-bb2")).begin_attempt(
        0, {"started": "2030-01-01T00:00:00.000Z"}
    )
    assert newest_run(store, [*find_runs(store)]).target == "prod"
