"""When a schedule starts a DAG: each minute whose wall clock, in the DAG's time zone, matches the cron expression.

That is what Argo does, so a laptop does it too. A start at a time that a daylight-saving change leaves out does not take place;
one at a time that comes twice takes place twice. :func:`clock_warnings` says so beforehand.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.spec.dag_file import Dag

LOOK = timedelta(hours=4)
"""No clock is turned farther than this; starts within it may come in another order than their wall-clock times."""
YEAR = timedelta(days=366)


@dataclass(frozen=True)
class Start:
    """One start to come."""

    at: datetime
    """Aware, in the DAG's time zone."""
    cron: str

    @property
    def text(self) -> str:
        """``2026-11-22 06:00 CET``."""
        return f"{self.at:%Y-%m-%d %H:%M %Z}"


def next_starts(dag: Dag, after: datetime, count: int = 5) -> list[Start]:
    """The next starts of a DAG on a schedule; none for any other.

    :param after: aware; a start at this very moment is not among them
    """
    return list(islice(starts_of(dag.trigger.schedule, dag.timezone, after), count))


def starts_of(crons: Sequence[str], timezone_name: str, after: datetime) -> Iterator[Start]:
    """The starts of a schedule after a moment, without an end, in the order of true time; each once."""
    zone = ZoneInfo(timezone_name)
    streams = [_starts(cron, zone, after) for cron in crons]
    last: Start | None = None
    for start in heapq.merge(*streams, key=lambda start: start.at.astimezone(timezone.utc)):
        if last is None or last.at != start.at or last.at.fold != start.at.fold:
            yield start
        last = start


def _starts(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[Start]:
    """Every start after ``after``, in the order of true time."""
    local = after.astimezone(zone).replace(tzinfo=None)
    waiting: list[tuple[datetime, datetime]] = []
    for wall in CronSim(cron, local - LOOK):
        while waiting and waiting[0][1] <= wall - LOOK:
            yield Start(heapq.heappop(waiting)[0].astimezone(zone), cron)
        for moment in moments(wall, zone):
            if moment > after:
                heapq.heappush(waiting, (moment, wall))


def moments(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """The moments (UTC) at which clocks in ``zone`` show ``wall``: one; none in a gap; two when clocks are turned back."""
    found = []
    for fold in (0, 1):
        moment = wall.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc)
        if moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall and moment not in found:
            found.append(moment)
    return found


def clock_warnings(dag: Dag, after: datetime) -> list[DbtFlowError]:
    """Where, in the year after ``after``, a change of the clocks skips or doubles a start.

    A schedule of every hour, or finer, goes on evenly through a change; nothing is said of those.
    """
    zone = ZoneInfo(dag.timezone)
    warnings: list[DbtFlowError] = []
    for change, shift in _changes(zone, after) if dag.trigger.schedule else ():
        for cron in dag.trigger.schedule:
            if len(CronSim(cron, datetime(2024, 1, 1)).hours) == 24:
                continue
            # In a gap the clock jumps from `low` to `high`; turned back, it runs from `low` to `high` twice.
            offset = change.astimezone(zone).replace(tzinfo=None)
            low, high = (offset - shift, offset) if shift > timedelta(0) else (offset, offset - shift)
            wall = next(CronSim(cron, low - timedelta(minutes=1)))
            if wall < high:
                verb, how = ("skipped", "does not exist") if shift > timedelta(0) else ("doubled", "comes twice")
                message = f"the start at {wall:%H:%M} on {wall:%Y-%m-%d} is {verb}: that time {how} in {dag.timezone}"
                hint = f"choose a time outside {low:%H:%M}-{high:%H:%M}, or timezone: UTC"
                warnings.append(InputError("clock-change", message, place=dag.place("trigger.schedule"), hint=hint))
    return warnings


def _changes(zone: ZoneInfo, after: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """Each change of the clocks in the year after ``after``: its moment (UTC) and by how much they are turned."""
    start = after.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)
    low, end = start, start + YEAR
    while low < end:
        high = low + timedelta(days=1)
        before, behind = low.astimezone(zone).utcoffset(), high.astimezone(zone).utcoffset()
        if before is not None and behind is not None and before != behind:
            first, last = low, high
            while last - first > timedelta(minutes=1):
                middle = first + timedelta(minutes=(last - first) // timedelta(minutes=1) // 2)
                first, last = (middle, last) if middle.astimezone(zone).utcoffset() == before else (first, middle)
            yield last, behind - before
        low = high
