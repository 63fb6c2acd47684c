"""Runs that are stopped or killed in the middle: nothing lives on, what had finished is told per node, and there is a card."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shop import SIGNALS, Built, Shop, Started, open_shop, short

from dbt_flow.pipeline.settle import settle_dead
from dbt_flow.state.store import FolderStore

SELECTED = {"customers", "stg_customers", "slow", "after_slow", "unique_stg_customers_id", "not_null_stg_customers_name"}
PLAIN = {"select": "+after_slow", "exclude": "test_name:relationships"}
ENDED: dict[str, str] = {}
"""Every run of this file with the status that it must have: the last test asks Metaflow about all of them at once."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(tmp_path_factory.mktemp("shop"), dags={"plain": PLAIN, "patient": {**PLAIN, "retries": 2}})
    opened.control("slow", sleep=600)
    yield opened
    opened.close()


def in_the_middle(shop: Shop, dag: str) -> tuple[Started, Built]:
    """A run whose slow model is being built, and all that can be built beside it has been."""
    started = shop.start(*shop.command(dag))
    built = started.builds("slow", dag)
    started.until(lambda: len(built.ended()) == 4)
    return started, built


def told(shop: Shop, built: Built, status: str) -> dict[str, Any]:
    """What every ended run must have left, whoever ended it; gives its result."""
    result: dict[str, Any] = json.loads((built.folder / "result.json").read_text())
    assert result["status"] == status, result["reason"]
    assert {short(node["id"]) for node in result["nodes"]} == SELECTED
    for node in result["nodes"]:
        open_end = short(node["id"]) in ("slow", "after_slow")
        assert (node["status"] in ("lost", "cancelled", "skipped")) is open_end, node
    card = (built.folder / "card.html").read_text()
    assert "slow" in card
    assert "nodes done" not in card, "it is the final card, not a live one"
    written = json.loads((built.folder / "run_results.json").read_text())["results"]
    planned = [entry["unique_id"] for entry in written if not entry["unique_id"].startswith("operation.")]
    assert sorted(map(short, planned)) == sorted(SELECTED), "every planned node once"
    kept = json.loads((built.folder / "artifacts.json").read_text())["manifest"]
    assert (shop.state / f"manifests/{kept}.json").is_file()
    ENDED[built.run] = status
    return result


@pytest.mark.parametrize(
    ("name", "whom", "dag", "status"),
    [
        ("SIGKILL", "step", "plain", "failed"),
        ("SIGKILL", "launcher", "patient", "failed"),
        ("SIGKILL", "front", "patient", "failed"),
        ("SIGINT", "front", "plain", "cancelled"),
        ("SIGINT", "launcher", "patient", "cancelled"),
        ("SIGTERM", "front", "patient", "cancelled"),
        ("SIGTERM", "step", "patient", "cancelled"),
    ],
)
def test_a_signal_in_the_middle(shop: Shop, name: str, whom: str, dag: str, status: str) -> None:
    started, built = in_the_middle(shop, dag)
    process = {"step": built.step, "launcher": built.launcher, "front": started.process}[whom]
    process.send_signal(SIGNALS[name])
    ran = started.end()
    assert shop.none_left() == [], "no process of the run lives on"
    result = told(shop, built, status)
    if status == "cancelled":
        assert result["reason"] == f"stopped by {name}"
        assert len(list(built.folder.glob("attempt-*.jsonl"))) == 1, "what a person stopped is not tried again"
    if (name, whom) == ("SIGKILL", "front"):
        assert result["error"]["code"] == "launcher-gone"
        return
    assert ran.code == {"failed": 1, "cancelled": 130}[status]
    assert ran.json["status"] == status
    assert ran.json["card"]


def test_a_timeout_stops_a_slow_model(shop: Shop) -> None:
    started, _ = in_the_middle(shop, "plain")
    quick = round(3 * (time.monotonic() - started.began)) + 2  # on whatever machine: the slow model is being built by then
    started.process.send_signal(SIGNALS["SIGTERM"])
    started.end()
    shop.dag("timed", **PLAIN, timeout=f"{quick}s")
    ran = shop.run("timed")
    assert shop.none_left() == []
    assert (ran.code, ran.json["status"]) == (1, "failed")
    assert ran.json["error"]["code"] == "timeout"
    assert f"{quick} s" in ran.json["reason"]
    assert quick <= ran.json["seconds"] < 300, "the model itself takes ten minutes"
    assert ran.node("slow")["status"] == "cancelled"
    assert ran.node("stg_customers")["status"] == "success"
    ENDED[ran.json["run"]] = "failed"


def test_when_everything_was_killed_the_next_reader_settles(shop: Shop) -> None:
    started, built = in_the_middle(shop, "plain")
    for process in (started.process, built.launcher, built.step):
        process.kill()
    started.end()
    assert shop.none_left() == []
    assert not (built.folder / "result.json").exists()
    result = settle_dead(FolderStore(shop.state), "plain", built.folder.name)
    assert result is not None
    told(shop, built, "failed")


def test_a_signal_before_the_run_has_begun(shop: Shop) -> None:
    started = shop.start(*shop.command("plain"))
    started.until(lambda: list((shop.state / "launches").glob(f"{started.process.pid}.*/feed.jsonl")))
    started.process.send_signal(SIGNALS["SIGINT"])
    ran = started.end()
    assert ran.code == 130, ran.stderr
    assert shop.none_left() == []
    assert "Traceback" not in ran.stderr


def test_they_leave_no_working_folders_behind(shop: Shop) -> None:
    """Those of a run that was killed go with the next run."""
    for name in ("targets", "launches"):
        left = [path.name for path in (shop.state / name).iterdir()]
        assert len(left) <= 1, left


def test_each_of_them_has_its_card_in_metaflow(shop: Shop) -> None:
    """Last: what Metaflow's Client says of all the runs above."""
    assert ENDED, "run this file as a whole"
    for run, facts in shop.told_by_metaflow(*ENDED).items():
        assert not facts["successful"], run
        assert [card["type"] for card in facts["cards"]] == ["dbt_run"], run
        assert run in facts["cards"][0]["html"], run


def test_a_killed_run_counts_in_history(shop: Shop) -> None:
    lines = [json.loads(line) for line in Path(shop.state / "history/dev/plain.jsonl").read_text().splitlines()]
    assert {line["run"] for line in lines} >= {run for run in ENDED if run.startswith("Plain/")}
