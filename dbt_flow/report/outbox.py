"""The outbox: no page is lost. A message is on the disk before anybody tries to send it, and leaves only when it was taken.

``outbox/waiting/`` holds a document for each message, ``outbox/sent/`` those of the last days, so that the same news is never
put in twice. One process sends at a time (a file lock; in a bucket a document says who). Messages of one dedup key and route go
out in the order in which they were made: the end of a page never overtakes its beginning. A message that was taken just before
a crash may be sent once more; its dedup key makes that the same incident.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from filelock import FileLock, Timeout

from dbt_flow.errors import DbtFlowError
from dbt_flow.records import utc_moment, utc_text
from dbt_flow.redact import text as redacted
from dbt_flow.report.messages import NOTICE, PAGERDUTY, Message, Route
from dbt_flow.report.words import one_line
from dbt_flow.state.store import Store, encode, get_json

WAITING, SENT, DAMAGED = "outbox/waiting", "outbox/sent", "outbox/damaged"

BACKOFF_FIRST, BACKOFF_MOST = 1.0, 1_800.0
"""Seconds after the first failure, doubled with each further one, and at the most."""
NOTICE_LASTS = timedelta(days=3)
"""A message (never a page) that could not be sent for so long is dropped: it is no news any more."""
_SENT_LASTS = timedelta(days=14)
_CLAIM, _CLAIM_LASTS = "outbox/sending.json", timedelta(minutes=5)


class NotSent(Exception):
    """A message was not taken."""

    def __init__(self, why: str, *, wait: float | None = None) -> None:
        """:param wait: seconds for which the other side wants to be left alone."""
        super().__init__(why)
        self.why, self.wait = why, wait


@dataclass
class Flushed:
    """What one pass over the outbox did."""

    sent: int = 0
    waiting: int = 0
    dropped: int = 0
    troubles: dict[str, str] = field(default_factory=dict)
    """For each route by the name of its variable: what keeps its messages here."""
    busy: bool = False
    """Another process is sending just now."""


class Outbox:
    """The messages of one state."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, messages: Iterable[Message]) -> int:
        """Keep messages until they are sent; gives how many are new.

        :raises StateError: the disk says no.
        """
        new = 0
        for message in messages:
            if self.store.get(f"{SENT}/{message.id}.json") is None:
                new += self.store.put_if_absent(f"{WAITING}/{message.id}.json", encode(message.to_dict()))
        return new

    def waiting(self) -> list[Message]:
        """What is to be sent, oldest first. A document that cannot be read is put aside, not thrown away."""
        found = []
        for name in self.store.list(WAITING):
            try:
                found.append(Message.from_dict(get_json(self.store, f"{WAITING}/{name}") or {}))
            except (DbtFlowError, TypeError, AttributeError, KeyError):
                self._move(name, DAMAGED)
        return sorted(found, key=lambda message: (message.created, _ORDER[message.action], message.id))

    def count(self) -> int:
        """How many are waiting; cheap."""
        return len(self.store.list(WAITING))

    def flush(self, send: Callable[[Message], None], *, at_once: bool = False) -> Flushed:
        """Try each message that is due once; with ``at_once`` also those that are to wait longer.

        A route that fails is left alone for the rest of the pass: a hundred messages to one that is down cost one try.
        """
        done = Flushed()
        with self._alone() as mine:
            if not mine:
                done.busy, done.waiting = True, self.count()
                return done
            held: set[tuple[str, Route]] = set()
            failing: set[Route] = set()
            for message in self.waiting():
                self._one(message, send, done, held, failing, at_once)
            self._prune()
        done.waiting = self.count()
        return done

    def next_try(self) -> float | None:
        """Seconds until a message is due; None when none waits."""
        now = utc_moment(utc_text())
        due = [(utc_moment(message.next_try) - now).total_seconds() if message.next_try else 0.0 for message in self.waiting()]
        return max(min(due), 0.0) if due else None

    def _one(
        self,
        message: Message,
        send: Callable[[Message], None],
        done: Flushed,
        held: set[tuple[str, Route]],
        failing: set[Route],
        at_once: bool,
    ) -> None:
        now = utc_moment(utc_text())
        key = (message.dedup, message.route)
        name = f"{message.id}.json"
        if message.action == NOTICE and now - utc_moment(message.created) > NOTICE_LASTS:
            done.dropped += 1
            self._move(name, SENT)
            return
        early = message.next_try is not None and utc_moment(message.next_try) > now and not at_once
        if key in held or message.route in failing or early:
            held.add(key)
            if message.trouble:
                done.troubles.setdefault(message.route.variable, message.trouble)
            return
        try:
            send(message)
        except NotSent as error:
            why = redacted(one_line(error.why, 300))
            wait = min(max(error.wait or 0.0, BACKOFF_FIRST * 2 ** min(message.tries, 20)), BACKOFF_MOST)
            later = replace(message, tries=message.tries + 1, trouble=why, next_try=utc_text(now + timedelta(seconds=wait)))
            self.store.put(f"{WAITING}/{name}", encode(later.to_dict()))
            held.add(key)
            failing.add(message.route)
            done.troubles[message.route.variable] = why
            return
        self._move(name, SENT)
        done.sent += 1

    def _move(self, name: str, to: str) -> None:
        raw = self.store.get(f"{WAITING}/{name}")
        if raw is not None:
            self.store.put(f"{to}/{name}", raw)
            self.store.drop(f"{WAITING}/{name}")

    def _prune(self) -> None:
        """Forget what was sent long ago."""
        for name in self.store.older(SENT, _SENT_LASTS.total_seconds()):
            self.store.drop(f"{SENT}/{name}")

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        lock = FileLock(self.store.local.path("outbox/.sending"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            if self.store.local is self.store:
                yield True
            else:
                with self._alone_of_all_machines() as mine:
                    yield mine
        finally:
            lock.release()

    @contextmanager
    def _alone_of_all_machines(self) -> Iterator[bool]:
        """In a bucket there are no locks: a document says who sends, and until when it may be believed."""
        claim = encode({"until": utc_text(utc_moment(utc_text()) + _CLAIM_LASTS)})
        mine = self.store.put_if_absent(_CLAIM, claim)
        if not mine and utc_moment((get_json(self.store, _CLAIM) or {}).get("until") or utc_text()) < utc_moment(utc_text()):
            self.store.drop(_CLAIM)  # whoever it was has died
            mine = self.store.put_if_absent(_CLAIM, claim)
        try:
            yield mine
        finally:
            if mine:
                self.store.drop(_CLAIM)


_ORDER = {"trigger": 0, "notice": 1, "resolve": 2}


def pages(messages: Iterable[Message]) -> int:
    """How many of them are pages."""
    return sum(message.route.channel == PAGERDUTY for message in messages)
