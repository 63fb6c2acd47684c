"""Reading PostgreSQL: the count and the rows come from one snapshot, a transaction that sees nothing begun after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from dbt_flow.ml.reading import Ask, CannotTravel, Found, Place, Reader
from dbt_flow.ml.reading_frames import frame
from dbt_flow.project.connecting import connected

_ARROW = {16: "bool_", 20: "int64", 21: "int16", 23: "int32", 700: "float32", 701: "float64", 1082: "date32"}
_ARROW |= dict.fromkeys((18, 19, 25, 1042, 1043), "string")
"""pyarrow's types by PostgreSQL's oid; the others are what pyarrow makes of the values."""


class PostgreSQL:
    """A connection in a read-only transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def now(self) -> None:
        """It keeps no history."""
        return

    def read(self, ask: Ask, as_of: str | None = None) -> Found:
        """See :class:`~dbt_flow.ml.reading.Reader`."""
        if as_of is not None:
            raise CannotTravel("PostgreSQL keeps no history of a table")
        self._connection.rollback()  # the snapshot of an earlier read
        self._connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with self._connection.cursor() as cursor:
            cursor.execute(ask.count())
            rows = cursor.fetchone()[0]
            cursor.execute(ask.sql())
            table = _table(cursor)
        return Found(rows, frame(table) if ask.form == "pandas" else table)


def _table(cursor: Any) -> Any:
    pyarrow: Any = import_module("pyarrow")  # only for who reads

    values = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(cursor.description)
    columns = []
    for column, given in zip(cursor.description, values, strict=True):
        kind = _ARROW.get(column.type_code)
        columns.append(pyarrow.array(given, type=getattr(pyarrow, kind)() if kind else None))
    return pyarrow.table(columns, names=[column.name for column in cursor.description])


@contextmanager
def opened(place: Place) -> Iterator[Reader]:
    """Connect as dbt does."""
    with connected(place.project, f"dbt-flow {place.who}") as connection:
        yield PostgreSQL(connection)
