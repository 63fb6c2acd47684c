"""The warehouses that ``self.receipts`` reads: dbt's adapter type, and who opens it. Each loads its client when it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from dbt_flow.errors import InputError
from dbt_flow.ml import reading_duckdb, reading_postgres, reading_snowflake
from dbt_flow.ml.reading import Form, Open, Place, Reader

READERS: Mapping[str, Open] = {
    "duckdb": reading_duckdb.opened,
    "postgres": reading_postgres.opened,
    "snowflake": reading_snowflake.opened,
}

TRAVELLERS: frozenset[str] = frozenset({"snowflake"})
"""Those that can show a table as it was, each with a :meth:`~dbt_flow.ml.reading.Reader.now` that says a moment."""

_LIBRARIES: Mapping[Form, str] = {"pandas": "pandas", "arrow": "pyarrow"}


def open_reader(place: Place) -> AbstractContextManager[Reader]:
    """A reader of the warehouse in which a run has built.

    :raises InputError: ``needs-not-met``: nobody here reads that kind
    """
    known = READERS.get(place.adapter)
    if known is None:
        hint = "read it with your own client: with self.receipts.reading(TABLE) as relation: ..."
        there = ", ".join(READERS)
        raise InputError("needs-not-met", f"{place.adapter} is read by nobody here, only {there}", hint=hint)
    return known(place)


def library(form: Form) -> None:
    """That what the rows are given in is there.

    :raises InputError: ``missing-extra``
    """
    try:
        __import__(_LIBRARIES[form])
    except ImportError as error:
        hint = "pip install 'dbt-flow[training]'"
        raise InputError("missing-extra", f"reading needs {error.name}, which is not installed", hint=hint) from None
