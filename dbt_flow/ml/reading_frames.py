"""A pyarrow Table as a pandas DataFrame, of whatever warehouse it came."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def frame(table: Any) -> Any:
    """As DuckDB gives one: decimals are floats."""
    pyarrow: Any = import_module("pyarrow")  # only for who reads

    for at, field in enumerate(table.schema):
        if pyarrow.types.is_decimal(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pyarrow.float64()))
    return table.to_pandas()
