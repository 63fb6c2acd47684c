"""What every warehouse is put through, by the tests' shop: the same stories for PostgreSQL and for Snowflake."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from servers.fakesnow import Snow
from servers.postgres import Database
from shop import Ran
from warehouse_shop import WarehouseShop, open_on

SOURCES = """
sources:
  - name: raw
    schema: raw
    tables:
      - name: landed
        loaded_at_field: landed_at
        freshness: {warn_after: {count: 1, period: hour}, error_after: {count: 2, period: hour}}
"""
DAGS = {
    "lasting": {"select": "+stg_customers from_landed+", "reuse": "unchanged", "tests": {"exclude": "test_name:relationships"}},
    "fresh": {"select": "from_landed", "require_fresh": "source:raw"},
    "apart": {"select": "stg_customers flaky after_flaky", "isolate": "flaky", "tests": {"exclude": "test_type:data"}},
}


def a_shop(server: Database | Snow, folder: Path, *bad: str) -> Iterator[WarehouseShop]:
    """A shop, with what is wrong with it, closed when the tests are over."""
    shop = open_on(server, folder, bad=bad, dags=DAGS)
    (folder / "models/sources.yml").write_text(SOURCES)
    (folder / "models/from_landed.sql").write_text(
        "{{ config(materialized='table') }}\nselect id from {{ source('raw', 'landed') }}\n"
    )
    (folder / "models/on_landed.sql").write_text(
        "{{ config(materialized='table') }}\nselect id from {{ ref('from_landed') }}\n"
    )
    (folder / "dbt_flow.yml").write_text(yaml.safe_dump({"links": {"query": "https://snow.example/{dag}/{query}"}}))
    server.sql("create schema if not exists raw")
    land(shop, 0)
    yield shop
    shop.close()


def land(shop: WarehouseShop, hours: float, rows: int = 1) -> None:
    """The source was last loaded so many hours ago, with so many rows."""
    assert shop.server is not None
    long_ago = (
        f"now() at time zone 'utc' - interval '{int(hours * 60)} minutes'"
        if isinstance(shop.server, Database)
        else f"dateadd(minute, {-int(hours * 60)}, sysdate())"
    )
    shop.server.sql("drop table if exists raw.landed")
    ids = ", ".join(f"({number})" for number in range(rows))
    shop.server.sql(f"create table raw.landed as select {long_ago} as landed_at, id from (values {ids}) as v (id)")


def said(shop: WarehouseShop, *words: str) -> Ran:
    """Another verb, in the shop's folder."""
    return shop.start(sys.executable, "-m", "dbt_flow", *words).end()


def ends_as_dbt(shop: WarehouseShop, first: Ran) -> None:
    """Node by node as ``dbt build``, which comes second: what it finds is what the run left."""
    plain = {node: status for node, status in shop.dbt_build().items() if not node.startswith("operation.")}
    assert {node["id"]: node["status"] for node in first.json["nodes"]} == plain
    good = not {"fail", "error", "skipped"} & set(plain.values())
    assert (first.code, first.json["status"]) == ((0, "success") if good else (1, "failed"))


def leaves_card_and_receipt(shop: WarehouseShop, first: Ran) -> None:
    """What a run leaves, told by the verbs that show it."""
    run = first.json["run"]
    card = said(shop, "card", run)
    assert card.code == 0, card.stderr
    page = (shop.folder / card.stdout.strip()).read_text()
    assert all(name in page for name in ("clean_orders", "report", run))
    receipt = said(shop, "receipt", run, "--json")
    assert receipt.code == 0, receipt.stderr
    if isinstance(shop.server, Snow):
        query = first.node("clean_orders")["query"]
        assert query["link"] == f"https://snow.example/shop/{query['id']}"
        assert f'href="{query["link"]}"' in page
    relations = {node["id"]: node.get("relation") for node in receipt.json["nodes"]}
    assert "clean_orders" in str(relations["model.shop.clean_orders"]).lower()


def reuses_what_holds(shop: WarehouseShop) -> None:
    """``reuse: unchanged``: nothing is built again that has not changed; what has changed is, and what stands on it."""
    first = shop.run("lasting")
    assert first.code == 0, first.stderr
    second = shop.run("lasting")
    held = {"customers", "stg_customers", "unique_stg_customers_id", "not_null_stg_customers_name", "from_landed", "on_landed"}
    assert (second.code, {name for name, status in second.statuses.items() if status == "reused"}) == (0, held), second.stderr
    assert second.node("from_landed")["reason"] == f"unchanged since {first.json['run']}"
    land(shop, 0, rows=2)
    model = shop.folder / "models/stg_customers.sql"
    model.write_text(model.read_text() + " where true")
    told = said(shop, "plan", str(shop.folder / "dags/lasting.yaml"), "--project-dir", str(shop.folder), "--json")
    assert told.code == 0, told.stderr
    forecast = {node["id"]: node["decision"] for node in told.json["nodes"]}
    assert (forecast["seed.shop.customers"], forecast["model.shop.from_landed"]) == ("reuse", "run")
    third = shop.run("lasting")
    again = {"stg_customers": "success", "unique_stg_customers_id": "pass", "not_null_stg_customers_name": "pass"}
    assert third.statuses == {**again, "customers": "reused", "from_landed": "success", "on_landed": "success"}
    assert shop.query("select count(*) from dev.on_landed") == [(2,)]


def retries_what_failed(shop: WarehouseShop) -> None:
    """With a step of its own for the model that fails: only it and what stands on it are made again."""
    shop.control("flaky", fail=True)
    failed = shop.run("apart")
    assert failed.code == 1, failed.stderr
    assert (failed.statuses["flaky"], failed.statuses["after_flaky"]) == ("error", "skipped")
    shop.control("flaky")
    mended = said(shop, "retry", failed.json["run"], "--json")
    assert mended.code == 0, mended.stderr
    assert mended.statuses["flaky"] == mended.statuses["after_flaky"] == "success"
    assert mended.statuses["stg_customers"] == "reused"


def requires_fresh_sources(shop: WarehouseShop) -> None:
    """A source that is too old fails the run before anything is built."""
    land(shop, 3)
    stale = shop.run("fresh")
    assert (stale.code, stale.json["error"]["code"]) == (1, "stale-sources"), stale.stderr
    assert stale.statuses == {"from_landed": "skipped"}
    land(shop, 0)
    assert shop.run("fresh").code == 0
