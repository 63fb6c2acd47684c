"""The part of a compiled SQL that failed: the lines to look at first, found by what the warehouse said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dbt_flow.report.words import clean

AROUND = 3
"""Lines that are shown before and after."""
MOST_MARKED = 6
LONGEST = 400
"""Characters of a line; a longer one is cut."""

_QUOTED_LINE = re.compile(r"^\s*LINE \d+: ?(?P<text>.+)$", re.MULTILINE)
_NAMES = re.compile(r"[\"'`]([A-Za-z_][\w.$]*)[\"'`]")
_CONDITION = re.compile(r"^\s*(where|having|qualify)\b", re.IGNORECASE)


def failing_part(sql: str, message: str, *, is_test: bool) -> dict[str, Any] | None:
    """``first``, the number of the first line shown, ``lines``, and ``marked``, places among them; None when nobody knows."""
    lines = sql.split("\n")
    if len(lines) > 5000:
        return None
    marked = _condition(lines) if is_test and not message else _by_message(lines, message)
    if not marked:
        return None
    first, last = max(marked[0] - AROUND, 0), min(marked[-1] + AROUND + 1, len(lines))
    shown = [clean(line.rstrip()[:LONGEST]) for line in lines[first:last]]
    return {"first": first + 1, "lines": shown, "marked": [at - first for at in marked]}


def _by_message(lines: Sequence[str], message: str) -> list[int]:
    """The line that the warehouse quotes (DuckDB, PostgreSQL), else the first one with a name that it names."""
    for quoted in _QUOTED_LINE.finditer(message):
        text = quoted["text"].strip().removeprefix("...").removesuffix("...").strip()
        found = [at for at, line in enumerate(lines) if text and (text in line or (len(text) > 20 and text[:60] in line))]
        if found:
            return found[:1]
    for name in dict.fromkeys(name.rpartition(".")[2] for name in _NAMES.findall(message)):
        pattern = re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE)
        found = [at for at, line in enumerate(lines) if pattern.search(line)]
        if found:
            return found[:1]
    return []


def _condition(lines: Sequence[str]) -> list[int]:
    """Of a test: the last condition, which is what picks the failing rows."""
    starts = [at for at, line in enumerate(lines) if _CONDITION.match(line)]
    if not starts:
        return []
    last = starts[-1]
    after = (at for at in range(last + 1, len(lines)) if lines[at].strip()[:1] in ("", ")"))
    ends = next(after, len(lines))
    return [*range(last, min(ends, last + MOST_MARKED))]
