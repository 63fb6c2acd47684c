"""Isolated steps that fail, are tried again, are killed, or taken up by a run that follows: only what is needed is built."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from shop import Ran, Shop, Started, open_shop, short

FEW = {"select": "+after_flaky +after_slow", "exclude": "test_name:relationships", "isolate": "flaky after_flaky slow"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(tmp_path_factory.mktemp("shop"), dags={"few": FEW, "twice": {**FEW, "retries": 1}})
    project = (opened.folder / "dbt_project.yml").read_text()
    (opened.folder / "dbt_project.yml").write_text(project.partition("on-run-start")[0])  # hooks would start all over
    yield opened
    opened.close()


def run(shop: Shop, dag: str) -> Ran:
    return shop.start(*shop.command(dag)).end()


def retry(shop: Shop, name: str) -> Ran:
    words = (sys.executable, "-m", "dbt_flow", "retry", name, "--json")
    env = {"DBT_FLOW_PROJECT_DIR": str(shop.folder)}
    return shop.start(*words, env=env).end()


def logs(shop: Shop, name: str) -> dict[tuple[int, str], list[dict[str, Any]]]:
    """What each attempt of each step wrote down."""
    found = {}
    for log in shop.run_folder(name).glob("attempt-*.jsonl"):
        number, step, _ = log.name[len("attempt-") :].split(".")
        found[(int(number), step)] = [json.loads(line) for line in log.read_text().splitlines()]
    return found


def built(shop: Shop, name: str) -> dict[tuple[int, str], dict[str, str]]:
    """What each attempt of each step says of nodes, for those that say something."""
    said = {
        key: {short(line["end"]["id"]): line["end"]["status"] for line in lines if "end" in line}
        for key, lines in logs(shop, name).items()
    }
    return {key: nodes for key, nodes in said.items() if nodes}


def test_a_step_is_tried_again_and_no_other(shop: Shop) -> None:
    shop.control("flaky", fail=True)
    started = shop.start(*shop.command("twice"))
    started.until(lambda: "begins in" in started.stderr)
    shop.control("flaky")
    ran = started.end()
    assert (ran.code, ran.json["status"]) == (0, "success"), ran.stderr
    said = built(shop, ran.json["run"])
    assert said[(0, "flaky")] == {"flaky": "error"}
    assert said[(1, "flaky")] == {"flaky": "success"}
    assert {key for key in said if key[0]} == {(1, "flaky")}, "the others have what they need"
    assert ran.json["counts"] == {"success": 6, "pass": 2}


@pytest.fixture(scope="module")
def failed(shop: Shop) -> Ran:
    shop.control("flaky", fail=True)
    ran = run(shop, "few")
    shop.control("flaky")
    return ran


def test_on_its_last_attempt_a_step_that_fails_lets_the_run_go_on(shop: Shop, failed: Ran) -> None:
    assert (failed.code, failed.json["status"]) == (1, "failed")
    assert failed.node("after_flaky")["blocked_by"] == [failed.node("flaky")["id"]]
    assert failed.statuses["after_slow"] == "success"
    [left] = [line["left"] for line in logs(shop, failed.json["run"])[(0, "after_flaky")] if "left" in line]
    assert left["cpu_of_dbt"] == 0, "the step that is skipped does not load dbt"
    card = shop.run_folder(failed.json["run"]) / "card.html"
    assert "flaky was told to fail" in card.read_text()


def test_a_run_that_follows_builds_what_was_not_good_in_steps_of_its_own(shop: Shop, failed: Ran) -> None:
    again = retry(shop, failed.json["run"])
    assert (again.code, again.json["status"]) == (0, "success"), again.stderr
    assert again.json["counts"] == {"reused": 6, "success": 2}
    assert built(shop, again.json["run"]) == {
        (0, "flaky"): {"flaky": "success"},
        (0, "after_flaky"): {"after_flaky": "success"},
    }
    assert "start" not in {step for _, step in logs(shop, again.json["run"])}, "Metaflow took it over from the first run"
    assert again.node("slow")["reason"] == f"success in {failed.json['run']}"


def test_a_step_is_killed_and_the_run_is_told_and_taken_up(shop: Shop) -> None:
    shop.control("slow", sleep=600)
    started: Started = shop.start(*shop.command("few"))
    found = started.until(lambda: started._building("slow", "few"))
    found.step.kill()
    shop.control("slow")
    ran = started.end()
    assert (ran.code, ran.json["status"]) == (1, "failed")
    assert ran.statuses["slow"] == "lost"
    assert ran.statuses["after_slow"] == "lost"
    assert ran.statuses["stg_customers"] == "success"
    assert "step slow died without a word" in ran.json["error"]["message"]
    assert not shop.none_left()
    assert not list(shop.state.glob("compiled/*"))
    again = retry(shop, ran.json["run"])
    assert (again.code, again.json["status"]) == (0, "success"), again.stderr
    assert again.statuses["stg_customers"] == "reused"
    assert again.statuses["slow"] == "success"
