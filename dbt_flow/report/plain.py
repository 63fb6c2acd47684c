"""What a warehouse's error means, in plain words, for somebody who sees it for the first time."""

from __future__ import annotations

import re

_MEANINGS: tuple[tuple[str, str], ...] = (
    # (what the message has, what it means and where to look); the first that fits
    (
        r"does not have a column named|column \S+ does not exist|invalid identifier|column .* not found|no such column",
        "The SQL names a column that is not there: it was renamed or removed where the data comes from, or misspelt here.",
    ),
    (
        r"table with name \S+ does not exist|relation \S+ does not exist|object '\S+' does not exist|no such table",
        "A table or view that the SQL reads is not there: it was not built yet, was renamed, or this target never had it.",
    ),
    (
        r"permission denied|insufficient privileges|access control error|not authorized|must be owner",
        "The account that dbt uses may not do this: a grant is missing, not a line of SQL.",
    ),
    (
        r"could not convert|conversion error|invalid input syntax|is not recognized|failed to cast|date/time field value",
        "A value does not have the type that the SQL expects: look for odd values in what it reads.",
    ),
    (r"division by zero|divide by zero", "A divisor is 0 in at least one row: the SQL does not expect that."),
    (
        r"duplicate key|duplicate row detected|unique constraint|merge .*(nondeterministic|multiple)",
        "Rows that must be unique are not: what it reads has duplicates of the key.",
    ),
    (
        r"more than one row returned|scalar subquery .*more than",
        "A part that must give one row gives several: what it reads has duplicates.",
    ),
    (
        r"out of memory|memory limit|could not allocate|spill",
        "The warehouse ran out of memory for this query: it reads more than before, or joins to too many rows.",
    ),
    (
        r"statement timeout|timed? ?out|canceling statement|statement reached its",
        "The query took longer than it may: it reads more than before, or the warehouse is busy.",
    ),
    (
        r"could not set lock|lock timeout|database is locked|deadlock",
        "Something else holds what this needs: another process or query has it locked.",
    ),
    (
        r"connection (refused|reset|timed out|closed)|could not connect|failed to connect|network|ssl error|250001|08001",
        "The warehouse could not be reached: nothing is wrong with the SQL. A retry may be all that it takes.",
    ),
    (r"no space left|disk full", "A disk is full: nothing is wrong with the SQL."),
    (r"syntax error|parser error", "The warehouse cannot read this SQL: look at the place it names."),
    (
        r"contract|data type .*mismatch|this model has an enforced contract",
        "The model does not give the columns that its contract promises.",
    ),
    (r"ambiguous", "A column's name fits several tables of the query: say which one is meant."),
    (r"compilation error|undefined|is not a function|jinja", "dbt cannot turn the model into SQL: its Jinja is wrong."),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), meaning) for pattern, meaning in _MEANINGS)


def meaning(message: str) -> str:
    """One sentence in plain words; empty where none is known, which is better than a wrong one."""
    start = message[:4000]
    return next((text for pattern, text in _PATTERNS if pattern.search(start)), "")


def threshold(condition: str | None) -> str:
    """dbt's condition on failing rows, in words: ``!= 0`` is ``none allowed``, ``> 10`` is ``more than 10``."""
    found = re.fullmatch(r"\s*(!=|<>|>=?|<=?|=)\s*(\d+)\s*", condition or "")
    if not found:
        return condition.strip() if condition else ""
    sign, number = found[1], int(found[2])
    if (sign in ("!=", "<>", ">") and number == 0) or (sign == ">=" and number == 1):
        return "any"
    words = {">": "more than", ">=": "at least", "<": "fewer than", "<=": "at most", "=": "exactly", "!=": "other than"}
    return f"{words.get(sign, 'other than')} {number:,}"
