"""Broken rows on demand, to see a DAG fail in the middle and block what is downstream."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from raw_tables import Tables, column_index

STALE_BY = timedelta(days=9)
STALE_TABLE = "trips"
MISSING_TABLE = "crashes"


def _set(tables: Tables, table: str, column: str, value: object) -> None:
    """Put a value into that column of five rows in the middle of a table."""
    index, rows = column_index(table, column), tables[table]
    middle = len(rows) // 2
    for at in range(middle, min(middle + 5, len(rows))):
        rows[at] = (*rows[at][:index], value, *rows[at][index + 1 :])


def _null_keys(tables: Tables) -> None:
    _set(tables, "inspections", "carrier_id", None)


def _orphans(tables: Tables) -> None:
    _set(tables, "loads", "carrier_id", 99_999_999)


def _duplicates(tables: Tables) -> None:
    rows = tables["offers"]
    rows.extend(rows[len(rows) // 2 : len(rows) // 2 + 5])


def _odd_values(tables: Tables) -> None:
    _set(tables, "trips", "max_speed_mph", 190)


def _untouched(tables: Tables) -> None:
    """The fault lies in how the table is loaded, not in its rows."""


FAULTS: dict[str, tuple[str, Callable[[Tables], None]]] = {
    "not_null": ("inspections without a carrier; fails in carrier_safety", _null_keys),
    "relationships": ("loads of an unknown carrier; fails in carrier_risk", _orphans),
    "unique": ("offers that arrive twice; fails in carrier_risk", _duplicates),
    "warn": ("trips at impossible speed; warns in carrier_safety", _odd_values),
    "stale": (f"{STALE_TABLE} loaded {STALE_BY.days} days late; fails source freshness", _untouched),
    "missing_table": (f"no table {MISSING_TABLE}; a model errors in carrier_safety", _untouched),
}


def inject(tables: Tables, kinds: list[str]) -> None:
    """Break the tables in place."""
    for kind in kinds:
        FAULTS[kind][1](tables)


def loaded_at(table: str, kinds: list[str], normal: datetime) -> datetime:
    """When a table landed: on time, unless it is the one to be stale."""
    return normal - STALE_BY if "stale" in kinds and table == STALE_TABLE else normal


def missing(kinds: list[str]) -> set[str]:
    """Tables that are to be absent."""
    return {MISSING_TABLE} if "missing_table" in kinds else set()
