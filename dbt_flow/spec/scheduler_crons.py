"""A DAG's schedule in the words of a scheduler, or why it has none for it.

A DAG file's cron is read by cronsim, as Debian's cron reads it. Argo Workflows' cron and EventBridge's read other things, and
some of the same things otherwise: what would start at another time there is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import product
from zoneinfo import ZoneInfo

from cronsim import CronSim

_ANY = datetime(2024, 1, 1)
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_YEARS = 3
"""For how long a zone's offset must stay as it is, to be taken for one that has no daylight saving."""


@dataclass(frozen=True)
class Refused:
    """Why there are no such words: what cannot be expressed, and what to do."""

    key: str
    """Of the DAG file: ``trigger.schedule`` or ``timezone``."""
    what: str
    hint: str


_PLAIN = "write numbers, lists, ranges and steps alone"


def for_argo(cron: str) -> str | Refused:
    """For a CronWorkflow: five fields; Sunday is 0, and nothing else."""
    odd = _odd(cron)
    if odd:
        return odd
    minute, hour, day, month, weekday = cron.split()
    read = CronSim(cron, _ANY)
    if 7 in _whole(read.weekdays) and weekday != "*":
        weekday = ",".join(str(number) for number in sorted({number % 7 for number in _whole(read.weekdays)}))
    return " ".join((minute, hour, day, month, weekday))


def for_eventbridge(cron: str, zone: str) -> str | Refused:
    """For an EventBridge rule: six fields in UTC, with ``?`` where nothing is said, and days by name."""
    odd = _odd(cron)
    if odd:
        return odd
    offset = fixed_offset(zone)
    if offset is None:
        return Refused("timezone", "a time zone with daylight saving", "write timezone: UTC and the hours as they are there")
    minute, hour, day, month, weekday = cron.split()
    read = CronSim(cron, _ANY)
    if day != "*" and weekday != "*":
        hint = "write two DAGs, or one of the two fields"
        return Refused("trigger.schedule", "a day of the month together with a day of the week", hint)
    days = {number % 7 for number in _whole(read.weekdays)} if weekday != "*" else set()
    if offset:
        moved = _moved(_whole(read.minutes), _whole(read.hours), offset)
        fits = moved is not None and (moved[2] == {0} or (day == month == "*" and (not days or len(moved[2]) == 1)))
        if moved is None or not fits:
            hint = "write timezone: UTC and the times as they are there"
            return Refused("timezone", f"{cron} in {zone}, which is another day or another pattern in UTC", hint)
        minutes, hours, shifts = moved
        minute, hour = _listed(minutes, 60), _listed(hours, 24)
        days = {(number + min(shifts)) % 7 for number in days}
    minute, hour = (f"0{field[1:]}" if field.startswith("*/") else field for field in (minute, hour))
    day, month = (f"1{field[1:]}" if field.startswith("*/") else field for field in (day, month))
    if not days:
        return f"{minute} {hour} {day} {month} ? *"
    return f"{minute} {hour} ? {month} {','.join(_DAYS[number] for number in sorted(days))} *"


def fixed_offset(zone: str) -> int | None:
    """Minutes that a zone is ahead of UTC, all year; None for one that changes its clocks."""
    place = ZoneInfo(zone)
    now = datetime.now(timezone.utc)
    offsets = {(now + timedelta(days=7 * week)).astimezone(place).utcoffset() for week in range(52 * _YEARS)}
    if len(offsets) != 1:
        return None
    seconds = (offsets.pop() or timedelta()).total_seconds()
    return int(seconds // 60)


def _odd(cron: str) -> Refused | None:
    """Words that cronsim alone knows, and the one pair of fields that is read otherwise elsewhere."""
    _, _, day, _, weekday = cron.upper().split()
    if "L" in day or "#" in weekday or (weekday[-1] == "L" and weekday[:-1].isdigit()) or "L," in weekday:
        return Refused("trigger.schedule", f"L and # of {cron}", _PLAIN)
    if "*/" in day + weekday and day != "*" and weekday != "*":
        hint = "list the days, or say one of the two fields"
        return Refused("trigger.schedule", f"{cron}, whose two fields of days it reads otherwise", hint)
    return None


def _moved(minutes: set[int], hours: set[int], offset: int) -> tuple[set[int], set[int], set[int]] | None:
    """The minutes and hours in UTC, and by how many days their days are others; None when a cron cannot say them."""
    found, shifts = set(), set()
    for hour, minute in product(hours, minutes):
        days, rest = divmod(hour * 60 + minute - offset, 24 * 60)
        found.add(divmod(rest, 60))
        shifts.add(days)
    in_hours, in_minutes = {hour for hour, _ in found}, {minute for _, minute in found}
    return (in_minutes, in_hours, shifts) if len(found) == len(in_hours) * len(in_minutes) else None


def _listed(numbers: set[int], all_of_them: int) -> str:
    return "*" if len(numbers) == all_of_them else ",".join(str(number) for number in sorted(numbers))


def _whole(numbers: set[int] | None) -> set[int]:
    """Without cronsim's marks for ``L``, which are refused before."""
    return {number for number in numbers or () if isinstance(number, int)}
