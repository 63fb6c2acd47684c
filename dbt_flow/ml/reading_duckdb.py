"""Reading a DuckDB file. Nobody writes meanwhile: the reader holds the lock that every run takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbt_flow.errors import InputError
from dbt_flow.ml.reading import Ask, CannotTravel, Found, Place, Reader
from dbt_flow.run.lock import database_lock


class DuckDB:
    """A file, open for reading."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def now(self) -> None:
        """It keeps no history."""
        return

    def read(self, ask: Ask, as_of: str | None = None) -> Found:
        """See :class:`~dbt_flow.ml.reading.Reader`."""
        if as_of is not None:
            raise CannotTravel("DuckDB keeps no history of a table")
        rows = self._connection.execute(ask.count()).fetchall()[0][0]
        answer = self._connection.execute(ask.sql())
        return Found(rows, answer.df() if ask.form == "pandas" else answer.to_arrow_table())


@contextmanager
def opened(place: Place) -> Iterator[Reader]:
    """Open the file that the run's target is."""
    if place.database is None:
        hint = "read it with your own client: with self.receipts.reading(TABLE) as relation: ..."
        raise InputError("needs-not-met", f"the target {place.project.target} is no file of this machine", hint=hint)
    with database_lock(place.database, place.who, place.waiting):
        import duckdb  # noqa: PLC0415 - only for who reads

        with duckdb.connect(str(place.database), read_only=True) as connection:
            yield DuckDB(connection)
