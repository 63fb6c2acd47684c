"""Reading Snowflake: by time travel the count and the rows are of one moment, also of one that is past."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbt_flow.errors import RunFailed
from dbt_flow.ml.reading import Ask, CannotTravel, Found, Place, Reader
from dbt_flow.ml.reading_frames import frame
from dbt_flow.project.connecting import connected

_NO_HISTORY = (707, 2003)
"""Snowflake's errors: no history of the table at that time; no such table then."""
_LOOKS = 3


class Snowflake:
    """A session."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def now(self) -> str:
        """The moment, by Snowflake's own clock."""
        form = 'YYYY-MM-DD"T"HH24:MI:SS.FF6TZH:TZM'
        return str(self._rows(f"select to_varchar(convert_timezone('UTC', current_timestamp()), '{form}')")[0][0])

    def read(self, ask: Ask, as_of: str | None = None) -> Found:
        """See :class:`~dbt_flow.ml.reading.Reader`."""
        if as_of is None:
            return self._read_now(ask)
        table = f"{ask.relation} at (timestamp => '{_quoted(as_of)}'::timestamp_tz)"
        try:
            rows = int(self._rows(ask.count(table))[0][0])
            return Found(rows, self._data(ask.sql(table), ask))
        except Exception as error:
            if getattr(error, "errno", None) in _NO_HISTORY:
                raise CannotTravel(f"Snowflake has no history of {ask.relation} at {as_of}") from error
            raise

    def _read_now(self, ask: Ask) -> Found:
        """A table may have no history at all: then nothing may have come or gone between two counts."""
        for _ in range(_LOOKS):
            before = int(self._rows(ask.count())[0][0])
            data = self._data(ask.sql(), ask)
            if int(self._rows(ask.count())[0][0]) == before:
                return Found(before, data)
        message = f"{ask.relation} changed each of the {_LOOKS} times that it was read"
        raise RunFailed("table-changed", message, hint="run it when whoever writes there is done")

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            return list(cursor.execute(sql).fetchall())

    def _data(self, sql: str, ask: Ask) -> Any:
        with self._connection.cursor() as cursor:
            table = cursor.execute(sql).fetch_arrow_all(force_return_table=True)
        lower = table.rename_columns([_as_dbt_has_it(name) for name in table.column_names])
        return frame(lower) if ask.form == "pandas" else lower


def _as_dbt_has_it(name: str) -> str:
    """Names that nobody quoted are upper case in Snowflake, and lower case everywhere else in a dbt project."""
    return name.lower() if name == name.upper() else name


def _quoted(text: str) -> str:
    return text.replace("'", "''")


@contextmanager
def opened(place: Place) -> Iterator[Reader]:
    """Connect as dbt does."""
    with connected(place.project, f"dbt-flow {place.who}") as connection:
        yield Snowflake(connection)
