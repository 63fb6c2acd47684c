"""``require_fresh``: fail, skip and wait, through the front door and in this process."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from pathlib import Path

import pytest
from landing import land
from shop import Shop

from dbt_flow.errors import RunFailed
from dbt_flow.pipeline import fresh
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.prepare import prepare, target_folder
from dbt_flow.project.source_ages import Looked
from dbt_flow.records import utc_moment
from dbt_flow.spec import Dag
from dbt_flow.state.runs import RunRecord, RunRef

STALE = re.compile(r"stale sources: raw\.landed \(loaded 3\.\d h ago\)")


def test_stale_sources_fail_the_run_with_the_line_and_the_sources(shop: Shop) -> None:
    land(shop, 3)
    ran = shop.run("strict")
    assert (ran.code, ran.json["status"], ran.json["error"]["code"]) == (1, "failed", "stale-sources")
    assert STALE.fullmatch(ran.json["error"]["message"])
    assert (ran.json["error"]["file"], ran.json["error"]["line"]) == ("dags/strict.yaml", 4)
    assert ran.statuses == {"stg_landed": "skipped"}
    assert STALE.fullmatch(ran.node("stg_landed")["reason"])
    [decision] = shop.kept(ran.json["run"], "decisions-0.json")
    assert decision["decision"] == "skip"
    kept = shop.kept(ran.json["run"], "sources.json")
    assert [(each["unique_id"], each["status"]) for each in kept["results"]] == [("source.shop.raw.landed", "error")]


def test_fresh_enough_is_built_and_dbt_s_file_is_kept(shop: Shop) -> None:
    land(shop, 1.5)  # a warning, as for dbt itself
    ran = shop.run("strict")
    assert (ran.code, ran.statuses) == (0, {"stg_landed": "success"})
    to = shop.folder / "kept"
    done = shop.start(sys.executable, "-m", "dbt_flow", *(("artifacts", ran.json["run"], "--to", str(to)))).end()
    assert done.code == 0, done.stderr
    assert sorted(file.name for file in to.iterdir()) == ["manifest.json", "run_results.json", "sources.json"]


@pytest.mark.parametrize("status", ["error", "runtime error", "skipped", "", "a word of a newer dbt"])
def test_what_dbt_could_not_tell_is_not_fresh(status: str) -> None:
    assert not Looked("source.shop.raw.landed", "raw.landed", status).fresh
    assert all(Looked("source.shop.raw.landed", "raw.landed", content).fresh for content in ("pass", "warn"))


def test_a_run_that_skips_is_no_success(shop: Shop) -> None:
    land(shop, 3)
    ran = shop.run("lenient")
    assert (ran.code, ran.json["status"]) == (130, "cancelled")
    assert "skipped: stale sources: raw.landed" in ran.json["error"]["message"]
    assert ran.statuses == {"stg_landed": "skipped"}
    told = shop.told_by_metaflow(ran.json["run"])[ran.json["run"]]
    assert told["successful"] is False, "nothing may start from it"


def test_a_selection_without_a_freshness_is_refused(shop: Shop) -> None:
    ran = shop.run("nothing_to_ask")
    assert ran.code != 0
    assert ran.json["error"]["code"] == "selects-nothing"
    assert "says how fresh it must be" in ran.json["error"]["message"]


def test_waiting_grows_leaves_the_file_alone_and_has_an_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    land(shop, 3)
    written = {"owner": "x", "select": "stg_landed", "require_fresh": {"select": "source:raw", "otherwise": "wait"}}
    dag = Dag.from_dict({"version": 1, "name": "patient", "file": "x.yaml", "keys": written, "places": {}})
    job = Job(dag, shop.folder, "shop", shop.folder, shop.state, profiles_dir=shop.folder)
    record = RunRecord(job.store, RunRef("dev", "patient", "1"))
    said: list[str] = []
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            land(shop, 0)  # somebody else opens the DuckDB file meanwhile

    with target_folder(job) as folder:
        prepared = prepare(job, folder, said.append)
        fresh.require_fresh(prepared, record, "a test", said.append, sleep)
        assert slept == [20.0, 30.0, 45.0]
        waits = re.compile(r"waiting for fresh sources: raw\.landed \(loaded 3\.\d h ago\); the next look is in 30 s")
        assert any(waits.search(line) for line in said)
        land(shop, 3)
        monkeypatch.setattr(fresh, "WAIT_AT_MOST", 10.0)
        with pytest.raises(RunFailed, match="stale sources after 0 minutes of waiting"):
            fresh.require_fresh(prepared, record, "a test", said.append, sleep)
    assert utc_moment(str(record.get("sources.json")["metadata"]["generated_at"])) > datetime.fromisoformat(
        "2020-01-01T00:00:00+00:00"
    )
    assert Path(shop.folder / "dev.duckdb").exists()
