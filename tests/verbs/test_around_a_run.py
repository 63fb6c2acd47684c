"""The verbs around a run, through the front door: one real failed run, and everything that is asked of it afterwards."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shop import Ran, Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = open_shop(tmp_path_factory.mktemp("verbs") / "shop", bad=("amount",), dags={"slow_ones": {"select": "tag:slow+"}})
    yield shop
    shop.close()


@pytest.fixture(scope="module")
def failed(shop: Shop) -> dict[str, Any]:
    done = shop.run()
    assert done.code == 1
    return done.json


def asked(shop: Shop, *words: str) -> Ran:
    return shop.start(sys.executable, "-m", "dbt_flow", *words).end()


def test_run_says_what_the_document_promises(failed: dict[str, Any]) -> None:
    assert {"dag", "flow", "run", "status", "counts", "nodes", "card"} <= set(failed)
    keys = {"id", "type", "status", "reason", "seconds", "failures", "blocked_by"}
    assert all(keys <= set(node) for node in failed["nodes"])
    assert failed["flow"] == "Shop"
    assert failed["run"].startswith("Shop/")


def test_plan_is_what_dbt_lists(shop: Shop) -> None:
    document = asked(shop, "plan", "shop", "--json").json
    dbt = Path(sys.executable).parent / "dbt"
    listed = shop.start(str(dbt), "-q", "ls", "--select", "*", "--output", "json", "--output-keys", "unique_id config").end()
    rows = [json.loads(line) for line in listed.stdout.splitlines() if line.startswith("{")]
    executed = {row["unique_id"] for row in rows if (row.get("config") or {}).get("materialized") != "ephemeral"}
    assert {node["id"] for node in document["nodes"]} == executed
    assert all(node["decision"] == "run" and node["reason"] == "selected by *" for node in document["nodes"])
    steps = {step["name"]: step for step in document["steps"]}
    assert {node for step in steps.values() for node in step["nodes"]} == executed
    assert "clean_orders" in steps["totals"]["needs"]


def test_plan_names_what_is_missing_and_what_to_type(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / "shop", dags={"base": {"select": "stg_customers customers"}, "slow_ones": {"select": "slow"}})
    document = asked(shop, "plan", "slow_ones", "--json").json
    assert [row["id"] for row in document["missing"]] == ["model.shop.stg_customers"]
    assert document["missing"][0]["built_by"] in ("base", "shop")
    assert "dbt-flow run slow_ones --upstream" in document["notes"][0]
    assert not (shop.folder / "dev.duckdb").exists()  # looking makes no database


def test_resolved_says_where_each_value_comes_from(shop: Shop) -> None:
    document = asked(shop, "plan", "slow_ones", "--resolved", "--json").json
    assert document["keys"]["select"] == {"value": ["tag:slow+"], "from": "dags/slow_ones.yaml:3"}
    assert document["keys"]["retries"] == {"value": 0, "from": "default"}


def test_history_and_list_tell_of_the_run(shop: Shop, failed: dict[str, Any]) -> None:
    rows = asked(shop, "history", "shop", "--json").json["runs"]
    lines = asked(shop, "history", "shop").stdout.splitlines()
    assert lines[0].startswith(f"failed     {rows[0]['run']}  {rows[0]['started'][:16].replace('T', ' ')} UTC")
    assert rows[0]["reason"] in lines[1], "what happened stands on one line of its own, whatever the width"
    told = next(row for row in rows if row["run"] == failed["run"])
    assert {"run", "status", "started", "seconds", "trigger"} <= set(told)
    assert (told["status"], told["trigger"]) == ("failed", "by hand")
    listed = asked(shop, "list", "--json").json["dags"]
    assert {"shop", "slow_ones"} == {row["name"] for row in listed}


def test_the_card_is_found_by_dag_and_by_run(shop: Shop, failed: dict[str, Any], tmp_path: Path) -> None:
    assert asked(shop, "card", "shop").stdout.strip() == failed["card"]
    out = tmp_path / "card.html"
    assert asked(shop, "card", failed["run"], "--out", str(out)).code == 0
    assert "not_null_clean_orders_amount" in out.read_text(encoding="utf-8")


def test_artifacts_are_dbts_own(shop: Shop, failed: dict[str, Any], tmp_path: Path) -> None:
    assert asked(shop, "artifacts", failed["run"], "--to", str(tmp_path)).code == 0
    results = json.loads((tmp_path / "run_results.json").read_text(encoding="utf-8"))
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    planned = {node["id"]: node["status"] for node in failed["nodes"]}
    assert {row["unique_id"]: row["status"] for row in results["results"] if row["unique_id"] in planned} == planned
    assert set(planned) <= {*manifest["nodes"], *manifest["unit_tests"]}


def test_retry_runs_what_has_no_good_result_and_nothing_else(shop: Shop, failed: dict[str, Any]) -> None:
    done = asked(shop, "retry", failed["run"], "--json")
    assert done.code == 1  # the data is as bad as before
    before = {node["id"]: node["status"] for node in failed["nodes"]}
    again = {node["id"]: node["status"] for node in done.json["nodes"]}
    good = {"success", "pass", "warn", "no-op"}
    assert {node for node, status in again.items() if status == "reused"} == {n for n, s in before.items() if s in good}
    assert done.json["run"] != failed["run"]


@pytest.mark.parametrize("verb", [("card", "shoop"), ("artifacts", "Shop/1"), ("history", "shoop"), ("retry", "shoop")])
def test_what_is_not_there_is_named_with_what_is(shop: Shop, failed: dict[str, Any], verb: tuple[str, ...]) -> None:
    done = asked(shop, *verb)
    assert done.code == 2
    assert "-> " in done.stderr
    assert "Traceback" not in done.stderr
