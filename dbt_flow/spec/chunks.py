"""A span of days cut into chunks, and which of a DAG's date parameters say a chunk's days: what a backfill runs over.

A chunk begins with its first day and ends before its ``end``, as dbt's ``--event-time-start`` and ``--event-time-end`` have it:
no day is left out between two chunks, and none is in both.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from dbt_flow.errors import InputError
from dbt_flow.spec.dag_file import Dag
from dbt_flow.spec.params import WORDS
from dbt_flow.yamlfile import did_you_mean, show

MAX_CHUNKS = 5000
"""Of one backfill: each is a run, and a slip in a year makes many."""

_SIZE = re.compile(r"([1-9]\d{0,3})(d|w|mo|y)\Z", re.ASCII)
_NAMES = {"day": "1d", "week": "1w", "month": "1mo", "quarter": "3mo", "year": "1y"}
_BEGIN_WORDS = frozenset({"start", "from", "since", "begin"})
_END_WORDS = frozenset({"end", "to", "until", "till", "before"})


@dataclass(frozen=True)
class Chunk:
    """Some days in a row."""

    start: date
    end: date
    """The first day that is no longer in it."""

    def __str__(self) -> str:
        last = self.end - timedelta(days=1)
        return f"{self.start}" if last == self.start else f"{self.start}..{last}"


@dataclass(frozen=True)
class Over:
    """The parameters that say a chunk's days; both None when event times alone do."""

    start: str | None = None
    end: str | None = None

    def values(self, chunk: Chunk) -> dict[str, str]:
        """What a run of ``chunk`` is given."""
        said = ((self.start, chunk.start), (self.end, chunk.end))
        return {name: day.isoformat() for name, day in said if name is not None}


def day(text: str, today: date, flag: str) -> date:
    """A day that a person wrote: ``2026-11-01``, or today or yesterday.

    :raises InputError: it is no date
    """
    if text in WORDS:
        return today + timedelta(days=WORDS[text])
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise InputError("usage", f"{flag} {text} is not a date", hint=f"write {flag} 2026-11-01, today or yesterday")


def cut(first: date, last: date, size: str) -> tuple[Chunk, ...]:
    """The days from ``first`` to ``last``, both included, in chunks of ``size`` (``1d``, ``2w``, ``1mo``, ``month``, ...).

    Months and years are counted from ``first``; the last chunk ends with ``last``.

    :raises InputError: the size cannot be read, the days run backwards, or there are too many chunks
    """
    match = _SIZE.match(_NAMES.get(size, size))
    if match is None:
        near = did_you_mean(size, _NAMES)
        hint = f"did you mean {near}?" if near else "write 1d, 2w, 1mo or 1y; or day, week, month, quarter, year"
        raise InputError("usage", f"--chunk {size} is not a number of days, weeks, months or years", hint=hint)
    if last < first:
        raise InputError(
            "usage", f"--from {first} is after --to {last}", hint="name the first day with --from, the last with --to"
        )
    number, unit = int(match[1]), match[2]
    found: list[Chunk] = []
    start, stop = first, last + timedelta(days=1)
    while start < stop:
        end = min(_later(first, number * (len(found) + 1), unit), stop)
        found.append(Chunk(start, end))
        if len(found) > MAX_CHUNKS:
            message = f"from {first} to {last} there are more than {MAX_CHUNKS} chunks of {size}"
            raise InputError("usage", message, hint="take longer chunks, such as --chunk month, or fewer days")
        start = end
    return tuple(found)


def over(dag: Dag, said: str | None) -> Over:
    """Which parameters of the DAG say a chunk's days.

    :param said: ``--over``: a name, or two with a comma between; None to find out
    :raises InputError: a name that is no date parameter, or several that could be meant
    """
    dates = [name for name, param in dag.params.items() if param.type == "date"]
    if said is not None:
        return _named(dag, said, dates)
    if len(dates) < 2:
        return Over(*dates)
    starts = [name for name in dates if _BEGIN_WORDS & set(name.split("_"))]
    ends = [name for name in dates if _END_WORDS & set(name.split("_"))]
    if len(dates) == 2 and len(starts) == len(ends) == 1 and starts != ends:
        return Over(starts[0], ends[0])
    message = f"{dag.name} has the date parameters {', '.join(dates)}: which say a chunk's days?"
    hint = (
        f"name the one for the first day, --over {dates[0]}, or two, for the first and for the day after the last: --over A,B"
    )
    raise InputError("usage", message, place=dag.place("params"), hint=hint)


def _named(dag: Dag, said: str, dates: Sequence[str]) -> Over:
    names = [name.strip() for name in said.split(",")]
    for name in names:
        if name not in dates:
            near = did_you_mean(name, dates)
            known = (
                f"the date parameters are: {', '.join(dates)}"
                if dates
                else f"give {dag.name} one: params: {{as_of: {{type: date}}}}"
            )
            message = f"--over {said}: {dag.name} has no date parameter {show(name)}"
            raise InputError("usage", message, place=dag.place("params"), hint=f"did you mean {near}?" if near else known)
    if len(names) > 2 or len(set(names)) < len(names):
        raise InputError(
            "usage", f"--over {said}: one name, or two different ones", hint="write --over START or --over START,END"
        )
    return Over(*names)


def check_given(given: Mapping[str, str], by_chunk: Over) -> None:
    """:raises InputError: a parameter is given by hand that each chunk says for itself."""
    for name in (by_chunk.start, by_chunk.end):
        if name in given:
            raise InputError("usage", f"--param {name}: each chunk has its own {name}", hint=f"leave --param {name} out")


def _later(first: date, number: int, unit: str) -> date:
    """``number`` units after ``first``; the 31st becomes the last day of a shorter month. Beyond the calendar: its end."""
    try:
        if unit in ("d", "w"):
            return first + timedelta(days=number * (7 if unit == "w" else 1))
        months = first.month - 1 + number * (12 if unit == "y" else 1)
        year, month = first.year + months // 12, months % 12 + 1
        return date(year, month, min(first.day, calendar.monthrange(year, month)[1]))
    except (ValueError, OverflowError):
        return date.max
