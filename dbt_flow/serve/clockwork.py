"""Schedules: which starts are due. A start is a minute whose wall clock matches, in the subscriber's own zone, as on Argo.

**Missed starts.** Each schedule has a cursor: the moment up to which its starts have been looked at. When the runtime was down,
the machine slept, or the clock jumped ahead, several starts may lie behind it: the latest is made up at once if it is not older
than :data:`GRACE`; the others are noted as missed, those that are older than that are recorded as skipped. A clock that is set
back starts nothing twice: the cursor never goes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice, takewhile

from dbt_flow.serve.intake import Intake, duration
from dbt_flow.serve.listeners import Subscriber
from dbt_flow.spec import Start
from dbt_flow.spec.clock import starts_of

GRACE = timedelta(hours=24)
ON_TIME = timedelta(minutes=2)
MOST_NOTED = 100
"""Missed starts that are looked at one by one; behind those the cursor jumps."""


def starts_after(subscriber: Subscriber, after: datetime) -> Iterator[Start]:
    """The starts of a subscriber's schedule after a moment, in the order of true time."""
    return starts_of(subscriber.schedule, subscriber.zone, after)


def next_start(subscriber: Subscriber, after: datetime) -> Start | None:
    """The next start; None without a schedule."""
    return next(starts_after(subscriber, after), None) if subscriber.schedule else None


@dataclass
class Clockwork:
    """Puts starts into the log as they come due. Its methods are to be called inside a transaction."""

    intake: Intake

    def __post_init__(self) -> None:
        self._next: dict[str, datetime] = {}

    def listen(self) -> None:
        """Those who listen have changed."""
        self._next = {}

    def tick(self, now: datetime) -> None:
        """Start what is due."""
        for subscriber in self.intake.listening.subscribers:
            if not subscriber.schedule:
                continue
            upcoming = self._next.get(subscriber.name)
            if upcoming is None or upcoming <= now:
                self._next[subscriber.name] = self._look(subscriber, now)

    def _look(self, subscriber: Subscriber, now: datetime) -> datetime:
        """Take every start up to ``now``; gives the next one."""
        log, key = self.intake.log, f"schedule.{subscriber.name}"
        said = log.cursor(key)
        cursor = datetime.fromisoformat(said) if said else now
        # A schedule that was changed owes nothing of the time before; the crons are part of the cursor's name for that.
        crons = " | ".join((*subscriber.schedule, subscriber.zone))
        if log.cursor(f"crons.{subscriber.name}") != crons:
            log.put_cursor(f"crons.{subscriber.name}", crons)
            cursor = now
        if cursor < now - GRACE:
            self._leave_out(subscriber, cursor, now)
            cursor = now - GRACE
        due: list[Start] = []
        upcoming = now
        for start in starts_after(subscriber, cursor):
            if start.at.astimezone(timezone.utc) > now:
                upcoming = start.at.astimezone(timezone.utc)
                break
            due = [*due[-MOST_NOTED:], start]
        self._take(subscriber, due, now)
        if said is None or cursor <= now:
            log.put_cursor(key, now.isoformat())
        return upcoming

    def _leave_out(self, subscriber: Subscriber, cursor: datetime, now: datetime) -> None:
        """Starts that are too old to be made up: recorded as skipped, and the owner is told."""
        until = now - GRACE
        old = takewhile(lambda start: start.at.astimezone(timezone.utc) <= until, starts_after(subscriber, cursor))
        dropped = [*islice(old, MOST_NOTED + 1)]
        if dropped:
            more = len(dropped) > MOST_NOTED
            number = f"more than {MOST_NOTED} starts" if more else f"{len(dropped)} start{'s' if len(dropped) > 1 else ''}"
            last = f" to {dropped[-1].text}" if len(dropped) > 1 and not more else ""
            why = (
                f"{number}, {'from ' if more or last else ''}{dropped[0].text}{last}: the runtime was down, for more than a day"
            )
            self.intake.too_late(subscriber, now.timestamp(), why)

    def _take(self, subscriber: Subscriber, due: list[Start], now: datetime) -> None:
        if not due:
            return
        *missed, last = due
        for start in missed:
            text = f"{subscriber.name} was not started at {start.text}: the runtime was not running, and a later start came"
            self.intake.log.notice(now.timestamp(), subscriber.name, "missed", text)
        late = now - last.at
        why = f"made up {duration(late.total_seconds())} late" if late > ON_TIME else ""
        self.intake.due(subscriber, last.at, now.timestamp(), why)
