"""``loaded_at_query`` on PostgreSQL: what tells of a source whose rows are too many to be read for a stamp."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from servers.postgres import Database
from warehouse_shop import WarehouseShop, open_on

from dbt_flow.project.stamps import MOST_ROWS

SOURCES = """
sources:
  - name: raw
    tables:
      - name: pings
        config:
          loaded_at_query: select max(loaded_at) from raw.landings
          freshness: {error_after: {count: 2, period: hour}}
"""
DAGS = {
    "lasting": {"select": "from_pings", "reuse": "unchanged"},
    "fresh": {"select": "from_pings", "require_fresh": "source:raw"},
}


@pytest.fixture(scope="module")
def shop(a_database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseShop]:
    database = a_database()
    found = open_on(database, tmp_path_factory.mktemp("pings"), dags=DAGS)
    (found.folder / "models/pings.yml").write_text(SOURCES)
    model = "{{ config(materialized='table') }} select id from {{ source('raw', 'pings') }}"
    (found.folder / "models/from_pings.sql").write_text(model)
    database.sql("create schema raw")
    database.sql("create table raw.landings as select now() at time zone 'utc' as loaded_at")
    database.sql("create table raw.pings with (autovacuum_enabled = false) as select 1 as id")
    # As after `analyze` of a table of so many rows.
    database.sql("update pg_class set reltuples = %s where oid = 'raw.pings'::regclass", 2 * MOST_ROWS)
    yield found
    found.close()


def built(shop: WarehouseShop, dag: str = "lasting") -> str:
    ran = shop.run(dag)
    assert ran.code == 0, ran.stderr
    return ran.statuses["from_pings"]


def test_what_the_query_says_decides_what_is_reused(shop: WarehouseShop) -> None:
    assert built(shop) == "success"
    assert built(shop) == "reused"
    shop.query("insert into raw.pings values (2)")
    assert built(shop) == "reused", "the query tells, and no row is read for it"
    shop.query("update raw.landings set loaded_at = loaded_at + interval '1 second'")
    assert built(shop) == "success"
    assert shop.query("select count(*) from dev.from_pings") == [(2,)]


def test_what_the_query_says_decides_what_is_fresh(shop: WarehouseShop) -> None:
    assert built(shop, "fresh") == "success"
    shop.query("update raw.landings set loaded_at = loaded_at - interval '3 hours'")
    stale = shop.run("fresh")
    assert (stale.code, stale.json["error"]["code"]) == (1, "stale-sources"), stale.stderr
