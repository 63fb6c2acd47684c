"""The tests' tiny shop on PostgreSQL and on Snowflake (fakesnow): what :mod:`shop` is on DuckDB.

What a model is told (to take its time, to fail) stands in the table ``told.told`` of the same database.

fakesnow has no temporary tables, which dbt-snowflake makes for unit tests and incremental models, fails on dbt's ``merge`` of a
snapshot, and cannot sleep: the macros of :data:`FAKESNOW` stand in the test project, never in the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.fakesnow import Snow
from servers.postgres import Database
from shop import Shop, stock

TOLD = """
{% macro control(name) -%}
  (select coalesce(SLEEP, '') || coalesce(cast(cast(case when fail then name || ' was told to fail' end as integer)
    as varchar), '') from told.told where name = '{{ name }}')
{%- endmacro %}
"""
NAMES = ("clean_orders", "slow", "flaky", "on_run_start", "on_run_end")

FAKESNOW = """
{% macro snowflake__create_table_temporary_sql(relation, compiled_code) -%}
create or replace transient table {{ relation }} as ( {{ compiled_code }} );
{%- endmacro %}
{% macro snowflake__create_view_as_with_temp_flag(relation, sql, is_temporary=False) -%}
create or replace view {{ relation }} as ( {{ sql }} );
{%- endmacro %}
{% macro snowflake__snapshot_merge_sql(target, source, insert_cols) -%}
update {{ target }} set dbt_valid_to = s.dbt_valid_to from {{ source }} as s
where s.dbt_scd_id = {{ target }}.dbt_scd_id and s.dbt_change_type in ('update', 'delete');
insert into {{ target }} ({{ insert_cols | join(', ') }})
select {{ insert_cols | join(', ') }} from {{ source }} where dbt_change_type = 'insert';
{%- endmacro %}
"""


@dataclass
class WarehouseShop(Shop):
    """A shop whose tables are on a server."""

    server: Database | Snow | None = None

    def query(self, sql: str, target: str = "dev") -> list[tuple[Any, ...]]:
        """What the warehouse says."""
        assert self.server is not None
        return self.server.sql(sql)

    def control(self, name: str, *, sleep: float = 0.0, fail: bool = False) -> None:
        """From now on ``name`` takes ``sleep`` seconds, or fails."""
        assert self.server is not None
        truth = "true" if fail else "false"
        self.server.sql(f"update told.told set seconds = {sleep}, fail = {truth} where name = '{name}'")


def open_on(
    server: Database | Snow,
    folder: Path,
    *,
    bad: tuple[str, ...] = (),
    dags: Mapping[str, Mapping[str, Any]] | None = None,
    **output: Any,
) -> WarehouseShop:
    """Write the project into ``folder``, and what it is told into the database, which is the shop's own."""
    on_postgres = isinstance(server, Database)
    macros = TOLD.replace("SLEEP", "cast(pg_sleep(seconds) as varchar)" if on_postgres else "''")
    shop = WarehouseShop(folder, server=server)
    prod = server.output(schema="prod", **output)
    stock(shop, {"dev": server.output(**output), "prod": prod}, macros=macros, bad=bad, dags=dags)
    server.sql("create schema if not exists told")
    server.sql("create table told.told (name varchar, seconds double precision, fail boolean)")
    if not on_postgres:
        (folder / "macros/fakesnow.sql").write_text(FAKESNOW)
    rows = ", ".join(f"('{name}', 0, false)" for name in NAMES)
    server.sql(f"insert into told.told values {rows}")
    return shop
