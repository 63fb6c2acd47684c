"""When Snowflake's tables were last altered, as ``reuse`` asks for it through dbt: whose time is whose, and which say nothing.

fakesnow answers what dbt asks; what it says of each table, the tests' server makes up.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from servers.fakesnow import Snow

from dbt_flow.project.parsing import parse
from dbt_flow.project.place import DbtProject
from dbt_flow.project.stamps import look
from dbt_flow.records import Stamp

ALTERED = "create or replace view {0}._fs_information_schema._fs_tables as select '{0}' as table_catalog, * from (values {1})"
COLUMNS = "as told (table_schema, table_name, table_type, last_altered)"


@pytest.fixture
def stamps(a_snow: Callable[[], Snow], tmp_path: Path) -> Callable[..., dict[str, Stamp]]:
    """What is known of the table ``orders`` of the schema ``sales`` in two databases, and of a view beside the first."""
    ours, theirs = a_snow(), a_snow()
    for snow in (ours, theirs):
        snow.sql("create schema sales")
        snow.sql("create table sales.orders (id integer)")
    ours.sql("create view sales.some_orders as select * from sales.orders")
    tables = {"ours": (ours, ["orders", "some_orders", "not_there"]), "theirs": (theirs, ["orders"])}
    sources = [
        {"name": name, "database": snow.database, "schema": "sales", "tables": [{"name": table} for table in names]}
        for name, (snow, names) in tables.items()
    ]
    files = {
        "dbt_project.yml": {"name": "shop", "profile": "shop", "flags": {"send_anonymous_usage_stats": False}},
        "profiles.yml": {"shop": {"target": "dev", "outputs": {"dev": ours.output()}}},
        "models/sources.yml": {"sources": sources},
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(yaml.safe_dump(content))

    def ask(ours_at: str, theirs_at: str) -> dict[str, Stamp]:
        for snow, at in ((ours, ours_at), (theirs, theirs_at)):
            rows = f"('SALES', 'ORDERS', 'BASE TABLE', {at}), ('SALES', 'SOME_ORDERS', 'VIEW', {at})"
            snow.sql(f"{ALTERED.format(snow.database, rows)} {COLUMNS}")
        parsed = parse(DbtProject(tmp_path), tmp_path / "cache", tmp_path / "target")
        with look(parsed) as eyes:
            found = eyes.stamps(parsed.manifest.sources, lambda *_: True)
        return {key.removeprefix("source.shop."): stamp for key, stamp in found.items()}

    return ask


def test_two_databases_have_tables_of_one_name(stamps: Callable[..., dict[str, Stamp]]) -> None:
    found = stamps("timestamp '2026-11-20 06:00:00'", "timestamp '2026-11-21 07:00:00'")
    assert found.keys() == {"ours.orders", "ours.some_orders", "theirs.orders"}
    assert [(found[key].data, found[key].by) for key in ("ours.orders", "theirs.orders")] == [
        ("2026-11-20T06:00:00+00:00", "metadata"),
        ("2026-11-21T07:00:00+00:00", "metadata"),
    ]
    view = found["ours.some_orders"]
    assert (view.kind, view.data, view.definition) == ("view", None, "2026-11-20T06:00:00+00:00"), "its rows come and go unseen"


def test_a_table_whose_time_is_not_known_has_no_stamp(stamps: Callable[..., dict[str, Stamp]]) -> None:
    """dbt says the year 1 of it; fakesnow cannot say null."""
    found = stamps("timestamp '0001-01-01 00:00:00'", "timestamp '2026-11-21 07:00:00'")
    assert [(found[key].data, found[key].by) for key in ("ours.orders", "theirs.orders")] == [
        (None, ""),
        ("2026-11-21T07:00:00+00:00", "metadata"),
    ]
