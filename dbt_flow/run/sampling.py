"""A few rows of a failing test, small enough for a card, with what is private masked.

Private is a column whose dbt ``meta`` says ``private: true`` or ``pii: true``, and every column of a model whose meta says so.
Where a test stands on anything private, only columns that the project documents, and that are not private, are shown: SQL can
give a column any name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

MASK = "•••"
MOST_COLUMNS, MOST_CHARACTERS = 20, 120
"""Of a row, and of a value."""

_COUNTS = frozenset({"n_records", "num_rows", "row_count"})
"""Names that dbt's own tests give to counts."""

ShowsColumn = Callable[[str], bool]


def may_show(manifest: Any, test: Any) -> ShowsColumn:
    """Which columns of a test's rows may be seen."""
    near = [holder for key in test.depends_on_nodes if (holder := _member(manifest, key)) is not None]
    if any(_is_private(_meta(holder)) for holder in (test, *near)):
        return lambda column: column.lower() in _COUNTS
    private = {name for holder in _above(manifest, near) for name in _private_columns(holder)}
    if not private:
        return lambda _: True
    open_columns = {name.lower() for holder in near for name in holder.columns} - private
    tested = str(getattr(test, "column_name", None) or "").lower()
    if tested in private:
        return lambda column: column.lower() in _COUNTS
    return lambda column: column.lower() in open_columns | _COUNTS


def whole_rows(test: Any, compiled: str) -> str:
    """dbt's own ``not_null`` gives the one column that is null in all of them; the rest of the row says which row it is."""
    said = getattr(test, "test_metadata", None)
    if getattr(said, "name", "") != "not_null" or getattr(said, "namespace", None):
        return compiled
    column = re.escape(str(getattr(test, "column_name", "")))
    head = re.compile(rf"\A(?:\s|--[^\n]*\n)*select\s+[\"`]?{column}[\"`]?\s+from\s", re.IGNORECASE)
    return head.sub("select * from ", compiled, count=1)


def sample(columns: Sequence[str], rows: Iterable[Any], shows: ShowsColumn, most: int) -> dict[str, Any]:
    """The first rows as text: ``columns``, ``rows``, and ``masked``, the names of the columns that are not shown."""
    names = [str(name) for name in columns][:MOST_COLUMNS]
    open_at = [shows(name) for name in names]
    shown = []
    for row, _ in zip(rows, range(most), strict=False):
        shown.append([_text(row[at]) if free else MASK for at, free in enumerate(open_at)])
    masked = [name for name, free in zip(names, open_at, strict=True) if not free]
    return {"columns": names, "rows": shown, "masked": masked}


def _above(manifest: Any, start: Iterable[Any]) -> Iterator[Any]:
    """The nodes and all that they are made from: a private column keeps its name on the way down."""
    waiting, seen = [*start], set()
    while waiting:
        holder = waiting.pop()
        if holder.unique_id in seen:
            continue
        seen.add(holder.unique_id)
        yield holder
        parents = getattr(holder, "depends_on_nodes", ()) or ()
        waiting += [parent for key in parents if (parent := _member(manifest, key)) is not None]


def _member(manifest: Any, key: str) -> Any:
    return manifest.nodes.get(key) or manifest.sources.get(key)


def _meta(holder: Any) -> dict[str, Any]:
    config = getattr(holder, "config", None)
    return {**(getattr(holder, "meta", None) or {}), **(getattr(config, "meta", None) or {})}


def _private_columns(holder: Any) -> Iterator[str]:
    for name, column in (getattr(holder, "columns", None) or {}).items():
        if _is_private(_meta(column)):
            yield str(name).lower()


def _is_private(meta: dict[str, Any]) -> bool:
    said = (meta.get(key) for key in ("private", "pii", "contains_pii"))
    return any(value is True or str(value).lower() in ("true", "yes", "1") for value in said)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
