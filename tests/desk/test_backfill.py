"""``dbt-flow backfill`` through the front door: a microbatch model, a chunk that fails, an interruption, going on."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from days import Days
from shop import Ran

SPAN = ("backfill", "daily", "--from", "2026-01-03", "--to", "2026-01-05")


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    days = Days.open(tmp_path_factory.mktemp("desk") / "days")
    yield days
    days.close()


@pytest.fixture(scope="module")
def planned(days: Days) -> dict[str, Any]:
    """Before anything has run."""
    document = days.ask(*SPAN, "--dry-run", "--json").json
    assert not (days.folder / "shop.duckdb").exists()
    return document


@pytest.fixture(scope="module")
def failed(days: Days, planned: dict[str, Any]) -> Ran:
    """The second of three days fails."""
    days.told("bad", "04")
    return days.ask(*SPAN, "--param", "region=east")


@pytest.fixture(scope="module")
def mended(days: Days, failed: Ran) -> dict[str, Any]:
    """The same call, after its cause is gone."""
    days.told("bad", "99")
    done = days.ask(*SPAN, "--param", "region=east", "--json")
    assert done.code == 0, done.stderr
    return done.json


def statuses(document: dict[str, Any]) -> dict[str, str]:
    return {chunk["start"]: chunk["status"] for chunk in document["chunks"]}


def test_a_dry_run_shows_the_chunks_and_runs_nothing(planned: dict[str, Any]) -> None:
    assert statuses(planned) == {"2026-01-03": "to run", "2026-01-04": "to run", "2026-01-05": "to run"}
    assert [chunk["parameters"] for chunk in planned["chunks"]] == [{"as_of": f"2026-01-0{day}"} for day in (3, 4, 5)]
    assert [chunk["end"] for chunk in planned["chunks"]] == ["2026-01-04", "2026-01-05", "2026-01-06"]


def test_a_failed_chunk_is_told_with_what_to_type_and_stops_no_other(days: Days, failed: Ran) -> None:
    assert failed.code == 1
    assert "1 of 3 chunks failed; 2 are good" in failed.stdout
    assert "dbt-flow card Daily/" in failed.stdout
    command = "dbt-flow backfill daily --from 2026-01-03 --to 2026-01-05 --chunk 1d --param region=east"
    assert f"mend it, then {command}" in failed.stdout
    ended = [line.split() for line in failed.stderr.splitlines() if line.startswith("[")]
    assert [words[1] for words in ended] == ["success", "failed", "success"]
    nodes = {node["id"]: node for node in days.kept(ended[1][3], "result.json")["nodes"]}
    assert nodes["model.shop.daily"]["status"] == "error"
    assert "Invalid Input Error: no " in nodes["model.shop.daily"]["message"]  # dbt's own word for it is ERROR


def test_the_same_call_runs_only_what_has_no_good_result(days: Days, failed: Ran, mended: dict[str, Any]) -> None:
    assert statuses(mended) == dict.fromkeys(("2026-01-03", "2026-01-04", "2026-01-05"), "success")
    runs = days.ask("history", "daily", "--json").json["runs"]
    told = [(run["status"], run["trigger"]) for run in reversed(runs)]
    words = "backfill 2026-01-03..2026-01-05: 2026-01-0"
    assert told == [("success", f"{words}3"), ("failed", f"{words}4"), ("success", f"{words}5"), ("success", f"{words}4")]


def test_each_chunk_builds_its_own_days_with_its_own_parameter(days: Days, mended: dict[str, Any]) -> None:
    assert days.rows() == {f"2026-01-0{day}": (24, f"2026-01-0{day}") for day in (3, 4, 5)}
    [log] = days.run_folder(mended["chunks"][0]["run"]).glob("attempt-*.jsonl")
    told = [json.loads(line) for line in log.read_text().splitlines()]
    of_daily = [("start" in line) for line in told if "daily" in (line.get("start") or line.get("end", {}).get("id", ""))[:20]]
    assert of_daily == [True, False]  # dbt tells of each batch as of the model: one good batch is no good model
    tagged = days.told_by_metaflow(*(chunk["run"] for chunk in mended["chunks"]))
    assert all(f"backfill:{mended['backfill']}" in told["tags"] and told["successful"] for told in tagged.values())


def test_nothing_is_left_to_run_and_another_region_is_another_backfill(days: Days, mended: dict[str, Any]) -> None:
    before = len(list(days.state.glob("runs/dev/daily/*")))
    again = days.ask(*SPAN, "--param", "region=east", "--json")
    assert (again.code, statuses(again.json)) == (0, statuses(mended))
    assert len(list(days.state.glob("runs/dev/daily/*"))) == before
    other = days.ask(*SPAN, "--param", "region=west", "--dry-run", "--json").json
    assert set(statuses(other).values()) == {"to run"}
    anew = days.ask(*SPAN, "--param", "region=east", "--again", "--dry-run", "--json").json
    assert set(statuses(anew).values()) == {"to run"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Days]:
    days = Days.open(tmp_path / "days")
    yield days
    days.close()


def test_an_interruption_ends_cleanly_and_the_same_call_goes_on(own: Days) -> None:
    """With event times alone: the DAG has no parameter. The run that was stopped is not good, and is run again."""
    span = ("backfill", "by_event_time", "--from", "2026-01-03", "--to", "2026-01-04")
    own.told("sleep", "2000")  # a batch sleeps for each of its 24 rows
    started = own.start(*own.words(*span))
    started.builds("daily", "by_event_time")
    second = own.ask(*span)
    assert second.code == 2
    assert "this backfill goes on in another process" in second.stderr
    started.process.send_signal(signal.SIGINT)
    stopped = started.end()
    assert stopped.code == 130, stopped.stderr
    assert "dbt-flow backfill by_event_time --from 2026-01-03 --to 2026-01-04" in stopped.stdout
    assert "Traceback" not in stopped.stderr
    assert own.none_left() == []
    own.told("sleep", "0")
    done = own.ask(*span, "--json")
    assert (done.code, set(statuses(done.json).values())) == (0, {"success"})
    assert own.rows() == {"2026-01-03": (24, "none"), "2026-01-04": (24, "none")}


def test_a_run_whose_end_nobody_noted_counts_by_its_record(own: Days) -> None:
    """As after a `kill -9` between the end of a run and its line in the log."""
    span = ("backfill", "daily", "--from", "2026-01-03", "--to", "2026-01-03", "--json")
    done = own.ask(*span)
    assert done.code == 0
    [log] = own.state.glob("backfills/daily/*.jsonl")
    lines = log.read_text().splitlines()
    assert "status" in json.loads(lines[-1])
    log.write_text("\n".join(lines[:-1]) + "\n")
    again = own.ask(*span)
    assert (again.code, again.json["chunks"][0]["run"]) == (0, done.json["chunks"][0]["run"])


def test_a_dag_that_nothing_tells_one_day_from_another_is_refused_at_once(own: Days) -> None:
    done = own.ask("backfill", "plain", "--from", "2026-01-03", "--to", "2026-01-05")
    assert done.code == 2
    assert "plain has no date parameter and selects no microbatch model" in done.stderr
    assert len(list(own.state.glob("runs/*/plain/*"))) <= 1
