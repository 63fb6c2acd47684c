"""A backfill of several chunks at a time, on a real PostgreSQL: side by side where that is safe, one by one where it is not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from projects import write
from servers.postgres import Database
from shop import Shop

CONFIG = (
    "materialized='incremental', incremental_strategy='microbatch', unique_key='id', event_time='happened', "
    "batch_size='day', begin='2026-01-01'"
)
FILES: dict[str, Any] = {
    "models/sources.yml": {
        "sources": [{"name": "raw", "tables": [{"name": "happened", "config": {"event_time": "happened"}}]}]
    },
    "models/daily.sql": f"{{{{ config({CONFIG}) }}}} select id, happened from {{{{ source('raw', 'happened') }}}}",
    "models/schema.yml": {"models": [{"name": "daily", "columns": [{"name": "id", "data_tests": ["unique", "not_null"]}]}]},
    "models/days.sql": "{{ config(materialized='view') }} select distinct happened::date as day from {{ ref('daily') }}",
    "dbt_flow.yml": "dags: dags\n",
    "dags/daily.yaml": "owner: desk\nselect: daily\n",
    "dags/viewed.yaml": "owner: desk\nselect: daily days\n",
}
HAPPENED = """create table raw.happened as
select i as id, timestamp '2026-01-01' + i * interval '1 hour' as happened from generate_series(0, 239) i"""


@pytest.fixture(scope="module")
def days(a_database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Database]]:
    database = a_database()
    database.sql("create schema raw")
    database.sql(HAPPENED)
    folder: Path = write(tmp_path_factory.mktemp("days"), FILES)
    profile = {"shop": {"target": "dev", "outputs": {"dev": database.output(threads=2)}}}
    write(folder, {"profiles.yml": profile})
    shop = Shop(folder)
    yield shop, database
    shop.close()


def backfilled(shop: Shop, dag: str, last: date, *words: str) -> Any:
    given = ("--from", "2026-01-01", "--to", str(last), "--parallel", "3", "--json", *words)
    return shop.start(sys.executable, "-m", "dbt_flow", "backfill", dag, *given).end(within=600)


def test_chunks_side_by_side_leave_each_day_once(days: tuple[Shop, Database]) -> None:
    shop, database = days
    done = backfilled(shop, "daily", date(2026, 1, 4))
    assert done.code == 0, done.stderr
    assert "one run at a time" not in done.stderr
    assert {chunk["status"] for chunk in done.json["chunks"]} == {"success"}
    found = database.sql("select happened::date, count(*), count(distinct id) from dev.daily group by 1 order by 1")
    assert found == [(date(2026, 1, 1) + timedelta(days=day), 24, 24) for day in range(4)]
    left = database.sql("select table_name from information_schema.tables where table_schema = 'dev'")
    assert left == [("daily",)], "nothing half-made stays"


def test_where_a_view_would_be_replaced_twice_at_once_it_is_one_by_one(days: tuple[Shop, Database]) -> None:
    shop, database = days
    done = backfilled(shop, "viewed", date(2026, 1, 2), "--again")
    assert done.code == 0, done.stderr
    assert "one run at a time: every run replaces days (view)" in done.stderr
    assert database.sql("select count(*) from dev.days") == [(4,)]
