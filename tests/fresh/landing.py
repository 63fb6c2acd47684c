"""A source of a shop, and when it was last loaded."""

from __future__ import annotations

import duckdb
from shop import Shop

SOURCES = """
sources:
  - name: raw
    schema: main
    tables:
      - name: landed
        loaded_at_field: landed_at
        freshness: {warn_after: {count: 1, period: hour}, error_after: {count: 2, period: hour}}
      - name: never_asked
"""


def land(shop: Shop, hours: float) -> None:
    """The source was last loaded so many hours ago."""
    with duckdb.connect(str(shop.folder / "dev.duckdb")) as open_:
        open_.execute(
            f"create or replace table landed as select now()::timestamp - to_seconds({hours * 3600}) as landed_at, 1 as id"
        )
