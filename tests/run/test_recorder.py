"""The recorder: nothing that goes wrong while it notes may reach dbt, and a full disk is remembered."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dbt_flow import redact
from dbt_flow.records import NodeResult
from dbt_flow.run.recorder import Feed, Recorder
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import FolderStore

A = "model.shop.a"


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return RunRecord(FolderStore(tmp_path / "state"), RunRef("dev", "shop", "1"))


def recorder(record: RunRecord, feed: Path | None = None) -> Recorder:
    made = Recorder(0, Feed(str(feed) if feed else None))
    made.watch(frozenset({A}), record)
    return made


def test_each_start_and_end_is_on_disk_and_on_the_feed_at_once(record: RunRecord, tmp_path: Path) -> None:
    feed = tmp_path / "feed"
    feed.touch()
    one = recorder(record, feed)
    one.begin(A, "2026-11-01T00:00:00.000Z")
    assert record.attempts()[0].started == {A: "2026-11-01T00:00:00.000Z"}
    one.end(NodeResult(A, "success"))
    assert [result.status for result in record.attempts()[0].results] == ["success"]
    assert [json.loads(line)["event"] for line in feed.read_text().splitlines()] == ["start", "end"]


def test_no_secret_of_a_warehouses_words_is_seen_anywhere(
    record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Memory (the card is made of it), the attempt's log, the feed, the task's own log."""
    monkeypatch.setenv("DBT_ENV_SECRET_LAKE", "hunter2-of-the-lake")
    redact.refresh()
    feed = tmp_path / "feed"
    feed.touch()
    one = recorder(record, feed)
    one.begin(A)
    said = "no such key: hunter2-of-the-lake"
    one.end(NodeResult(A, "error", message=said, reason=said, compiled=f"select '{said}'"))
    one.enrich(A, {"compiled": f"select 2, '{said}'"})
    one.say(f"{A}: {said}")
    (folder,) = record.store.folder.rglob("attempt-0.jsonl")  # type: ignore[attr-defined]
    for where in (repr(one.snapshot()), folder.read_text(), feed.read_text(), capsys.readouterr().out):
        assert "no such key" in where
        assert "hunter2" not in where


def test_what_nobody_planned_is_not_counted_and_hooks_are_kept_apart(record: RunRecord) -> None:
    one = recorder(record)
    one.begin("model.shop.ephemeral")
    one.end(NodeResult("model.shop.ephemeral", "success"))
    one.end(NodeResult("operation.shop.on-run-end-0", "error", message="no"))
    assert one.snapshot() == ({}, {})
    assert one.hooks["operation.shop.on-run-end-0"].message == "no"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_remembered_and_raises_nothing(record: RunRecord) -> None:
    record.put("plan.json", {})
    folder = record.store.folder / record.ref.folder  # type: ignore[attr-defined]
    (folder / "attempt-0.jsonl").symlink_to("/dev/full")
    one = recorder(record)
    one.begin(A)
    one.end(NodeResult(A, "success"))
    assert one.trouble is not None
    assert one.trouble.code == "disk-full", "so the run is not good"
    assert one.results[A].status == "success"


def test_an_error_while_stopping_is_what_stopping_looks_like(record: RunRecord) -> None:
    one = recorder(record)
    one.stopping = True
    one.end(NodeResult(A, "error", message="INTERRUPT Error: Interrupted!"))
    assert one.results[A].status == "cancelled"
    assert one.results[A].message == ""


def test_a_feed_that_is_gone_is_nobodys_loss(record: RunRecord, tmp_path: Path) -> None:
    one = recorder(record, tmp_path / "gone" / "feed")
    one.end(NodeResult(A, "success"))
    assert one.results[A].good


def test_a_closed_output_is_nobodys_loss(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as broken:
        monkeypatch.setattr("sys.stdout", broken)
        recorder(record).end(NodeResult(A, "success"))
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            broken.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), broken.fileno())
