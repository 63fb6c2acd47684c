"""``overlap: skip`` by the run's first step: run as Argo runs it, beside an older run that has no end yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from shop import Shop, open_shop

from dbt_flow.errors import RunCancelled
from dbt_flow.pipeline.overlap import alone
from dbt_flow.records import RunResult, utc_text
from dbt_flow.settings import load_settings
from dbt_flow.spec import Dag, load_dag
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import FolderStore

SKIPS = {"owner": "team", "select": "totals", "trigger": {"event": "landed"}, "overlap": "skip"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: shop\n")
    return tmp_path


def dag(root: Path, more: str = "") -> Dag:
    (root / "dags/one.yaml").write_text(f"owner: team\nselect: x\ntrigger: {{event: landed}}\n{more}")
    return load_dag(load_settings(start=root, environ={}), "one")


def begun(root: Path, number: str, ago: float = 0.0, host: str = "another-pod") -> RunRecord:
    """A run whose first attempt began some seconds ago, on a machine that cannot be looked at."""
    record = RunRecord(FolderStore(root / ".dbt_flow"), RunRef("dev", "one", number))
    started = utc_text(datetime.now(timezone.utc) - timedelta(seconds=ago))
    record.begin_attempt(0, {"host": host, "started": started, "run": f"One/{number}"})
    return record


def test_an_older_run_goes_on(root: Path) -> None:
    begun(root, "argo-older", ago=60)
    ours = begun(root, "argo-ours")
    with pytest.raises(RunCancelled, match="skipped: One/argo-older is still running") as skipped:
        alone(dag(root, "overlap: skip\n"), ours)
    assert skipped.value.place is not None and skipped.value.place.line == 4
    alone(dag(root, "overlap: queue\n"), ours)
    alone(dag(root), ours)


def test_one_that_began_later_is_no_reason(root: Path) -> None:
    ours = begun(root, "argo-ours", ago=60)
    begun(root, "argo-later")
    alone(dag(root, "overlap: skip\n"), ours)


def test_of_two_at_once_one_goes_on(root: Path) -> None:
    at = utc_text()
    records = []
    for number in ("argo-a", "argo-b"):
        record = RunRecord(FolderStore(root / ".dbt_flow"), RunRef("dev", "one", number))
        record.begin_attempt(0, {"host": "another-pod", "started": at})
        records.append(record)
    skipping = dag(root, "overlap: skip\n")
    alone(skipping, records[0])
    with pytest.raises(RunCancelled):
        alone(skipping, records[1])


def test_one_that_has_ended_or_is_taken_for_dead_is_no_reason(root: Path) -> None:
    older = begun(root, "sfn-ended", ago=60)
    older.settle(RunResult("one", "One", "One/sfn-ended", "success", "", "dev", started=utc_text()))
    begun(root, "argo-long-ago", ago=25 * 3600)
    begun(root, "123", ago=60)  # by hand, on somebody's machine
    ours = begun(root, "argo-ours")
    alone(dag(root, "overlap: skip\n"), ours)
    begun(root, "argo-timed-out", ago=2 * 3600 + 60)
    alone(dag(root, "overlap: skip\ntimeout: 1h\nretries: 1\n"), ours)
    with pytest.raises(RunCancelled):
        alone(dag(root, "overlap: skip\ntimeout: 2h\nretries: 1\n"), ours)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(tmp_path_factory.mktemp("shop"), dags={"one": SKIPS})
    yield opened
    opened.close()


def test_the_run_ends_as_cancelled_with_nothing_built(shop: Shop) -> None:
    begun(shop.folder, "argo-older", ago=60)
    for words in (
        ("init", "--run-id", "argo-ours", "--task-id", "1"),
        ("step", "end", "--run-id", "argo-ours", "--task-id", "2", "--input-paths", "argo-ours/_parameters/1"),
    ):
        done = shop.start(*shop.metaflow("one", *words)).end(300)
    assert done.code != 0
    result = json.loads((shop.state / "runs/dev/one/argo-ours/result.json").read_text())
    assert result["status"] == "cancelled" and "skipped: One/argo-older is still running" in result["reason"]
    assert {node["status"] for node in result["nodes"]} == {"skipped"}
    assert not (shop.folder / "dev.duckdb").exists() or shop.query("select * from information_schema.tables") == []
