"""How a flow reads a table, whatever the warehouse: the nouns. One file for each kind, listed in :mod:`dbt_flow.ml.readers`.

A reader opens the connection that dbt would open for the run's target, and answers from one snapshot: the count of all rows
and the rows that were asked for belong together. Where the warehouse can show a table as it was, it says what time it is there
when a run chooses what it reads, and later reads as of then; a table that was built anew meanwhile is then no trouble.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from dbt_flow.project.place import DbtProject

Form = Literal["pandas", "arrow"]


@dataclass(frozen=True)
class Place:
    """Where a run has built, and how one gets there."""

    adapter: str
    """dbt's type of the target: ``duckdb``, ``snowflake``."""
    project: DbtProject
    """With the target's name: whoever connects takes the profile that dbt would take."""
    database: Path | None
    """Of DuckDB: the file."""
    who: str
    """Who reads, for locks and sessions: ``TrainCarrierRisk/12 (reads fct_loads)``."""
    waiting: Callable[[str], None]
    """Hears a sentence when it has to wait."""


@dataclass(frozen=True)
class Ask:
    """What is to be read."""

    relation: str
    """As dbt wrote it, quoted."""
    query: str
    """SQL with ``{table}`` where the relation stands, several times perhaps."""
    form: Form

    def sql(self, table: str | None = None) -> str:
        """The query, of the relation or of what stands in its place: ``REL at (timestamp => ...)``."""
        return self.query.replace("{table}", table or self.relation)

    def count(self, table: str | None = None) -> str:
        """SQL for the count of all its rows."""
        return f"select count(*) from {table or self.relation}"  # noqa: S608 - a name that dbt has quoted


@dataclass(frozen=True)
class Found:
    """What was read, and how many rows the whole table had in that same snapshot."""

    rows: int
    data: Any
    """A ``pandas.DataFrame`` or a ``pyarrow.Table``."""


class CannotTravel(Exception):
    """The warehouse cannot show the table as it was then: it keeps no such history, or it was replaced by another table."""


class Reader(Protocol):
    """A connection to the warehouse of a run."""

    def now(self) -> str | None:
        """What time it is there, as :meth:`read` takes it; None where it cannot show what was."""

    def read(self, ask: Ask, as_of: str | None = None) -> Found:
        """Read from one snapshot: now, or as of a moment that :meth:`now` gave.

        :raises CannotTravel: not as of then
        """


Open = Callable[[Place], AbstractContextManager[Reader]]
"""Connects, and closes at the end.

May raise ``InputError`` (``missing-extra``: a package is not there) and ``RunFailed`` (``warehouse``: it does not let us in).
"""
