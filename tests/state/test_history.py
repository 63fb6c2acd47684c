"""History is bounded, safe with several writers, and damage in it costs the trend alone."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from dbt_flow.records import NodeResult, RunResult, utc_text
from dbt_flow.state import history as remembered
from dbt_flow.state.history import history, remember, row_counts
from dbt_flow.state.store import FolderStore


def run(number: int, *nodes: NodeResult, status: str = "success") -> RunResult:
    at = utc_text(1_790_000_000 + number)
    return RunResult("shop", "Shop", f"Shop/{number}", status, "said", "dev", at, seconds=float(number), nodes=nodes)


def test_a_log_is_trimmed_to_its_last_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "KEPT", 20)
    monkeypatch.setattr(remembered, "_TRIM_EVERY", 0)
    store = FolderStore(tmp_path)
    for number in range(95):
        remember(store, "dev", "shop", run(number))
        assert len((tmp_path / "history/dev/shop.jsonl").read_bytes().splitlines()) <= 41
    found = [line["run"] for line in history(store, "shop", limit=1000)]
    assert found[:20] == [f"Shop/{number}" for number in range(94, 74, -1)]


def _write(folder: str, first: int) -> None:
    store = FolderStore(Path(folder))
    for number in range(first, first + 60):
        store.append("history/dev/shop.jsonl", json.dumps({"run": number}).encode() + b"\n")
        if number % 7 == 0:
            store.trim("history/dev/shop.jsonl", 10_000 if number % 2 else 1)
            store.append("history/dev/kept.jsonl", json.dumps({"run": number}).encode() + b"\n")
            store.trim("history/dev/kept.jsonl", 10_000)


def test_no_line_is_lost_or_cut_while_others_trim(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_write, [str(tmp_path)] * 4, [0, 1000, 2000, 3000]))
    kept = [json.loads(line)["run"] for line in (tmp_path / "history/dev/kept.jsonl").read_bytes().splitlines()]
    expected = [n for first in (0, 1000, 2000, 3000) for n in range(first, first + 60) if n % 7 == 0]
    assert sorted(kept) == sorted(expected)
    for line in (tmp_path / "history/dev/shop.jsonl").read_bytes().splitlines():
        json.loads(line)


def test_damage_costs_the_damaged_part(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    remember(store, "dev", "shop", run(1, NodeResult("model.a", "success", rows=10)))
    lines = [b'{"run": 1, "sta', b"\x00\xff\xfe", b"[1, 2]", b'{"run": "Shop/9", "started": "x", "failed": 7}', b"null"]
    store.append("history/dev/shop.jsonl", b"\n".join(lines) + b"\n")
    store.put("rows/dev/shop.json", b"{not json")
    remember(store, "dev", "shop", run(2, NodeResult("model.a", "success", rows=12)))
    assert [line["run"] for line in history(store, "shop")] == ["Shop/2", "Shop/1"]
    assert row_counts(store, "dev", "shop", before="Shop/3") == {"model.a": (12,)}
    for damage in (b'{"model.a": 5, "model.b": [["r", "many"]], "model.c": [["r", 3]]}', b"[]", b""):
        store.put("rows/dev/shop.json", damage)
        assert set(row_counts(store, "dev", "shop", "Shop/3")) <= {"model.c"}


def test_row_counts_leave_out_the_run_itself_and_what_was_not_built(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for number in range(1, 31):
        remember(store, "dev", "shop", run(number, NodeResult("model.a", "success", rows=number)))
    reused = NodeResult("model.a", "reused", rows=99), NodeResult("model.b", "error", rows=1)
    remember(store, "dev", "shop", run(31, *reused, status="failed"))
    counts = row_counts(store, "dev", "shop", before="Shop/30")
    assert counts == {"model.a": tuple(range(19, 30))}, "bounded, oldest first"
