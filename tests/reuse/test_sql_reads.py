"""What compiled SQL reads, against DuckDB's own parser; and what in it asks a clock or dice."""

from __future__ import annotations

import duckdb
import pytest

from dbt_flow.plan.reuse_sql import plain_name, unknown_read, volatile_in

ORDERS, ITEMS = '"shop"."main"."orders"', '"shop"."main"."Items"'
KNOWN = {plain_name(ORDERS), plain_name(ITEMS)}

READS_WHAT_IS_KNOWN = (
    "select 1 as id",
    "from (select 1)",
    f"with orders as (select * from {ORDERS}), b as (select a, b from orders o left join {ITEMS} x on o.a = x.a, "
    "lateral (select unnest([1]))) select extract(year from d), trim(both from e) from b "
    "where a is not distinct from c order by a, b",
    "select * from (values (1), (2)) t(a), generate_series(1, 2) g",
    "with recursive t(n) as (select 1 union all select n + 1 from t where n < 3) select * from t",
    f"select a from {ORDERS} -- from nothing\n/* join nowhere */ where x = 'from y'",
    f"select count(*) filter (where a), (select max(b) from {ITEMS}) from {ORDERS} group by a, b",
    f"select * from ({ORDERS} a join {ITEMS} b on true)",
    f"with a as materialized (select * from {ORDERS}), c(x) as (select * from a) select x, y from c, a where x in (select 1)",
    f"select a from {ORDERS} union all select b from {ITEMS} order by 1",
)
READS_MORE = (
    "select * from orders",
    "with orders as (select * from orders) select * from orders",
    "select * from 'a.csv'",
    "select * from read_csv('a')",
    f"select * from {ORDERS}, y",
    f"select a, (select max(b) from z) from {ORDERS}",
    "pivot orders on a",
    "from y",
    "with a as (with b as (select 1) select * from b) select * from b",
    f"select * from {ORDERS} o join raw.k on 1 = 1",
    f"select * from {ORDERS} o, (select 1) x, later",
    "select * from query('select 1')",
    "select 'it\\'s' from x",
    f"select * from {ORDERS} where 'open",
)


@pytest.mark.parametrize("sql", READS_WHAT_IS_KNOWN)
def test_what_dbt_knows_is_no_doubt(sql: str) -> None:
    assert unknown_read(sql, KNOWN) is None
    with duckdb.connect() as database:  # it binds some of them: the names must be there
        database.execute("attach ':memory:' as shop; create schema if not exists shop.main")
        for name in (ORDERS, ITEMS):
            database.execute(f"create table {name} (a int, b int, c int, d date, e text, x text)")
        names = {plain_name(name).partition(" as ")[0] for name in database.get_table_names(sql, qualified=True)}
    assert names <= KNOWN, "DuckDB sees a table that we take for known"


@pytest.mark.parametrize("sql", READS_MORE)
def test_what_dbt_does_not_know_is_told(sql: str) -> None:
    assert unknown_read(sql, KNOWN)


def test_every_answer_that_changes_is_told() -> None:
    assert volatile_in("select NOW ()") == "NOW"
    assert volatile_in("select 1 -- as of current_date") == "current_date"
    assert volatile_in("select 'now'::timestamp")
    assert volatile_in("select * from t using sample 3")
    assert volatile_in("select current_balance, nowhere, randomly, today_sales, age from t") is None
