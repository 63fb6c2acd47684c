"""Tables that other DAGs build: named when they are missing, built with ``--upstream``, read elsewhere with ``--defer-to``.

The tests of this file go through one story, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from shop import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    dags = {
        "base": {"select": ["+clean_orders", "+stg_customers"]},
        "mart": {"select": ["totals", "report"], "trigger": {"after": "base"}},
    }
    opened = open_shop(tmp_path_factory.mktemp("shop"), dags=dags)
    profiles = yaml.safe_load((opened.folder / "profiles.yml").read_text())
    profiles["shop"]["outputs"]["dev"]["attach"] = [{"path": "prod.duckdb"}]  # so that dev can read what prod built
    (opened.folder / "profiles.yml").write_text(yaml.safe_dump(profiles))
    yield opened
    opened.close()


def test_without_them_the_reason_names_the_table_and_the_dag_that_builds_it(shop: Shop) -> None:
    ran = shop.run("mart")
    assert (ran.code, ran.json["status"]) == (1, "failed")
    broken = [node for node in ran.json["nodes"] if node["status"] == "error"]
    assert broken
    for node in broken:
        assert "clean_orders (built by base)" in node["reason"] or "stg_customers (built by base)" in node["reason"], node
        assert "dbt-flow run mart --upstream" in node["reason"]


def test_they_are_read_from_another_target(shop: Shop) -> None:
    assert shop.run("base", "--target", "prod").code == 0
    ran = shop.run("mart", "--defer-to", "prod")
    assert (ran.code, ran.json["status"]) == (0, "success"), ran.stderr
    assert set(ran.statuses) == {"totals_add_up", "totals", "report", "not_null_report_total"}
    assert shop.query("select count(*) from information_schema.tables where table_name = 'clean_orders'") == [(0,)]
    assert shop.query("select sum(total) from totals") == [(60,)]


def test_they_are_built_where_they_are_missing_and_not_again(shop: Shop) -> None:
    ran = shop.run("mart", "--upstream")
    assert (ran.code, ran.json["status"]) == (0, "success"), ran.stderr
    assert {"orders", "customers", "clean_orders", "stg_customers", "totals", "report"} <= set(ran.statuses)
    assert ran.statuses["not_null_clean_orders_amount"] == "pass", "with their tests"
    assert "slow" not in ran.statuses, "and nothing that nobody reads"
    again = shop.run("mart", "--upstream")
    assert again.code == 0
    assert set(again.statuses) == {"totals_add_up", "totals", "report", "not_null_report_total"}
