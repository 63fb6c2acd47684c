"""What nobody would notice: runs that died, runs that do not end, deliveries that never start. Each is told once.

Notices go to the log, the page and the terminal; the alerts of a DAG's owner read them from there.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from dbt_flow.serve.eventlog import LIVE, EventLog
from dbt_flow.serve.intake import duration
from dbt_flow.serve.listeners import Listening
from dbt_flow.serve.outcomes import Outcomes

LONG = 6 * 3600.0
"""Seconds after which a run that has not ended is told of."""
WAITING_LONG = 3600.0
"""Seconds after which a delivery that has not started is told of."""
KEPT = 90 * 86_400.0
"""Seconds that events and deliveries are kept when they are done with; an event that is older may be sent again."""
_EVERY = 5.0
_FORGET_EVERY = 3600.0


@dataclass
class Watchman:
    """Looks every few seconds."""

    log: EventLog
    outcomes: Outcomes
    listening: Listening = field(default_factory=Listening)
    _looked: float = 0.0
    _forgot: float = 0.0
    _told: set[tuple[int, str]] = field(default_factory=set)

    def tick(self, now: float) -> None:
        """Look, if it is time."""
        if abs(now - self._looked) < _EVERY:
            return
        self._looked = now
        if abs(now - self._forgot) > _FORGET_EVERY:
            self._forgot = now
            with self.log.transaction():
                self.log.forget(now - KEPT)
        for run in self.outcomes.settle_the_dead():
            self._tell(now, run.partition("/")[0], "died", f"{run} died without a word, and was recorded as failed")
        for delivery in self.log.deliveries(LIVE):
            if delivery.started and now - delivery.started > LONG and self._first(delivery.id, "long"):
                what = f"{delivery.run or delivery.subscriber} has been running for {duration(now - delivery.started)}"
                self._tell(now, delivery.subscriber, "long", f"{what} (process {delivery.pid})")
        for delivery in self.log.deliveries(("ready",), 100):
            if now - delivery.created > WAITING_LONG and self._first(delivery.id, "waiting"):
                text = f"{delivery.subscriber} has been due for {duration(now - delivery.created)} and has not started"
                self._tell(now, delivery.subscriber, "waiting", text)

    def _first(self, delivery: int, kind: str) -> bool:
        if (delivery, kind) in self._told or self.log.cursor(f"told.{kind}.{delivery}"):
            return False
        self._told.add((delivery, kind))
        with contextlib.suppress(Exception), self.log.transaction():
            self.log.put_cursor(f"told.{kind}.{delivery}", "1")
        return True

    def _tell(self, now: float, subscriber: str, kind: str, text: str) -> None:
        with self.log.transaction():
            self.log.notice(now, subscriber, kind, text)
