"""``reuse: unchanged`` through ``dbt-flow run`` and ``dbt-flow plan``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from shop import Shop, open_shop


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    dags = {"small": {"select": "+customer_history", "reuse": "unchanged", "tests": {"exclude": "test_name:relationships"}}}
    opened = open_shop(tmp_path_factory.mktemp("shop"), bad=("name",), dags=dags)
    yield opened
    opened.close()


def test_run_and_plan_say_what_is_reused_and_why(shop: Shop) -> None:
    first = shop.run("small")
    assert (first.code, first.statuses["not_null_stg_customers_name"]) == (0, "warn")
    second = shop.run("small")
    told = second.statuses
    assert told == {
        "customers": "reused",
        "stg_customers": "reused",
        "unique_stg_customers_id": "reused",
        "not_null_stg_customers_name": "warn",  # never reused
        "customer_history": "success",  # it reads what it builds
    }
    assert second.node("customers")["reason"] == f"unchanged since {first.json['run']}"
    decisions = {item["id"]: item["decision"] for item in shop.kept(second.json["run"], "decisions-0.json")}
    assert decisions["seed.shop.customers"] == "reuse"
    assert len(shop.query("select * from audit where what = 'end'")) == 2, "hooks run around each run"
    file = str(shop.folder / "dags/small.yaml")
    done = shop.start(sys.executable, "-m", "dbt_flow", "plan", file, "--project-dir", str(shop.folder), "--json").end()
    forecast = {node["id"]: (node["decision"], node["reason"]) for node in json.loads(done.stdout)["nodes"]}
    assert forecast["seed.shop.customers"] == ("reuse", f"unchanged since {first.json['run']}")
    assert forecast["snapshot.shop.customer_history"][0] == "reuse"
    everything = shop.run("small", "--no-reuse")
    assert set(everything.statuses.values()) == {"success", "pass", "warn"}
