"""The loop that owns the log: takes events in, looks at the clock and at recorded results, and starts what is owed.

One thread does all of it, so nothing here needs a lock; requests wait in a bounded queue, and those that wait together are
written in one transaction (:meth:`Runtime.post`). When the queue is full the sender is told to come again.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from filelock import FileLock, Timeout

from dbt_flow.errors import DbtFlowError, StateError
from dbt_flow.serve import crash
from dbt_flow.serve.clockwork import Clockwork
from dbt_flow.serve.event import Event
from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.executor import Executor
from dbt_flow.serve.flow_ends import FlowEnds
from dbt_flow.serve.flow_reading import Reader
from dbt_flow.serve.intake import Intake
from dbt_flow.serve.listeners import Listening
from dbt_flow.serve.needs_met import NeedsMet
from dbt_flow.serve.outcomes import Outcomes
from dbt_flow.serve.owners_told import OwnersTold
from dbt_flow.serve.rounds_made import Rounds
from dbt_flow.serve.starter import Starter
from dbt_flow.serve.watchman import Watchman
from dbt_flow.settings import Settings
from dbt_flow.state.places import store_of
from dbt_flow.state.store import FolderStore

ADDRESS = "serve/address.json"
WAITING_MOST = 2000
"""Requests that wait to be written down; more are told to come again."""
_BATCH = 500
_TICK = 0.1
_WRITTEN_WITHIN = 60.0  # seconds that a sender waits for the disk


@dataclass(frozen=True)
class Answer:
    """What a sender is told."""

    seq: int
    duplicate: bool
    subscribers: dict[str, str]
    near: str | None = None


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    jobs: int = 4
    drain: float = 600.0
    """Seconds that runs may go on after SIGTERM."""
    watch_files: bool = True
    """Whether it is the real thing: DAG files are read anew when they change, and owners are told."""


@dataclass
class Runtime:
    """The local event runtime of one state folder."""

    settings: Settings
    starter: Starter
    options: Options = field(default_factory=Options)
    clock: Callable[[], float] = time.time
    say: Callable[[str], None] = print
    listening: Listening = field(default_factory=Listening)
    _queue: queue.Queue[tuple[Event, Future[Answer]]] = field(default_factory=lambda: queue.Queue(WAITING_MOST))
    _fresh: Listening | None = None
    _ending: threading.Event = field(default_factory=threading.Event)
    _hurry: threading.Event = field(default_factory=threading.Event)
    _told: int = 0

    # ---- from other threads

    def post(self, event: Event) -> Answer:
        """Take an event in; returns when it is on the disk.

        :raises StateError: ``not-accepting`` when too many wait or the runtime ends, ``disk-full`` when it cannot be kept.
        """
        if self._ending.is_set():
            raise StateError("not-accepting", "the runtime is ending", hint="send it again when it runs")
        told: Future[Answer] = Future()
        try:
            self._queue.put_nowait((event, told))
        except queue.Full:
            raise StateError("not-accepting", "too many events at once", hint="send it again in a second") from None
        try:
            return told.result(_WRITTEN_WITHIN)
        except NotInTime:
            hint = "send it again, with the same id: it counts once"
            raise StateError("not-accepting", "it could not be written down in time", hint=hint) from None

    def end(self) -> None:
        """Drain: take nothing in, start nothing, and end when what runs has ended. Called twice: end what runs now."""
        if self._ending.is_set():
            self._hurry.set()
        self._ending.set()

    @property
    def ending(self) -> bool:
        """Whether it drains."""
        return self._ending.is_set()

    # ---- the loop

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until :meth:`end`, inside :meth:`alone`. ``ready`` is called when what a crash may have left is in order."""
        self.open()
        watcher = threading.Thread(target=self._watch_files, name="dbt-flow-files", daemon=True)
        if self.options.watch_files:
            watcher.start()
        ready()
        while not self._ending.is_set():
            self.turn(_TICK)
        self._drain()
        self.log.close()

    @contextlib.contextmanager
    def alone(self) -> Any:
        """Hold the state folder: one runtime works on it.

        :raises StateError: ``server-running`` when another one does.
        """
        store = FolderStore(self.settings.state)
        lock = FileLock(store.path("serve/lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            address = running_at(self.settings)
            where = f" at {address['url']} (process {address['pid']})" if address else ""
            hint = "use that one, end it, or name another folder: --state DIR"
            raise StateError("server-running", f"another runtime works on this state folder{where}", hint=hint) from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                store.path(ADDRESS).unlink()
            lock.release()

    def open(self) -> None:
        """Open the log, see who listens, and go on where a crash or an end left off."""
        now = self.clock()
        state = self.settings.state
        self.log = EventLog(state)
        self.reader = Reader(self.settings)
        self.outcomes = Outcomes(self.log, store_of(self.settings), self.settings.project, self.reader.branch)
        self.flow_ends = FlowEnds(self.log, self.settings)
        self.intake = Intake(self.log, self.listening, self.outcomes.busy, NeedsMet(self.log, store_of(self.settings)))
        self.clockwork = Clockwork(self.intake)
        self.executor = Executor(self.log, self.starter, state / "serve" / "tries", self.options.jobs, busy=self.outcomes.busy)
        self.watchman = Watchman(self.log, self.outcomes)
        self.rounds = Rounds(self.settings, self.say)
        self.owners = OwnersTold(self.log, self.settings, self.say)
        if not self.listening.subscribers and self.options.watch_files:
            self.listening = self.reader.read()
        self._listen(self.listening, now)
        self.outcomes.begin(now)
        self.flow_ends.begin(now)
        for found in self.executor.recover(now):
            self.say(found)
        # What ended while nobody looked comes first: nobody is late for what has come.
        self.outcomes.tick()
        self.outcomes.settle_the_dead()
        self._take()
        notices = self.log.notices(1)
        self._told = notices[0]["id"] if notices else 0

    def turn(self, wait: float) -> None:
        """One turn of the loop; it waits for a request at most ``wait`` seconds."""
        try:
            self._take_requests(wait)
            if self._fresh is not None:
                fresh, self._fresh = self._fresh, None
                self._listen(fresh, self.clock())
            now = self.clock()
            self.outcomes.tick()
            self.flow_ends.tick(now)
            self._take()
            with self.log.transaction():
                self.clockwork.tick(datetime.fromtimestamp(now, timezone.utc))
                self.intake.tick(now)
            self.executor.tick(now)
            self.watchman.tick(now)
            if self.options.watch_files:  # a simulation, and a test, has nobody to tell
                self.rounds.tick(now)
                self.owners.tick(self.listening)
            self._say_news()
        except (StateError, OSError) as error:  # a full disk: say so, wait, and go on; nothing was half done
            self.say(str(error))
            time.sleep(1.0)

    def idle(self) -> bool:
        """Whether nothing runs, nothing is owed and nothing waits to be taken."""
        counts = self.log.counts()
        return not self.executor.children and not counts.get("ready") and not self.log.untaken(1) and not self.outcomes.open

    def _listen(self, listening: Listening, now: float) -> None:
        before = {str(problem) for problem in self.listening.problems}
        for problem in listening.problems:
            if listening is self.listening or str(problem) not in before:
                self.say(str(problem))
        self.listening = listening
        self.executor.listening = listening
        self.flow_ends.listen(listening)
        self.watchman.listening = listening
        with self.log.transaction():
            self.intake.listen(listening, now)
            self.clockwork.listen()

    def _take_requests(self, wait: float) -> None:
        """All requests that wait, in one transaction; their senders hear when it is on the disk."""
        batch: list[tuple[Event, Future[Answer]]] = []
        with contextlib.suppress(queue.Empty):
            batch.append(self._queue.get(timeout=wait))
            while len(batch) < _BATCH:
                batch.append(self._queue.get_nowait())
        if not batch:
            return
        try:
            with self.log.transaction():
                answers = [self._accept(event) for event, _ in batch]
        except DbtFlowError as error:
            for _, told in batch:
                told.set_exception(error)
            return
        crash.point("accepted")
        for (_, told), answer in zip(batch, answers, strict=True):
            told.set_result(answer)

    def _accept(self, event: Event) -> Answer:
        seq = self.log.add_event(event)
        if seq is None:
            there = self.log.find_event(event.name, event.id)
            number = there.seq if there else 0
            got = self.log.consumers([number]).get(number, [])
            return Answer(number, True, {row["subscriber"]: row["outcome"] for row in got})
        told = self.intake.take(Event(event.name, event.id, event.payload, event.at, event.source, seq), self.clock())
        return Answer(seq, False, told, None if told else self.listening.near(event.name))

    def _take(self) -> None:
        """Events that came by another way: ends of runs, and what the command line wrote."""
        while True:
            events = self.log.untaken(_BATCH)
            if not events:
                return
            with self.log.transaction():
                for event in events:
                    only = event.payload.get("dbt_flow_replay_to")
                    if only in self.listening.by_name:
                        self.intake.give(event, str(only), self.clock())
                    else:
                        self.intake.take(event, self.clock())

    def _drain(self) -> None:
        self.executor.starting = False
        while not self._queue.empty():
            self._take_requests(0)
        running = [child.run or child.order.subscriber.name for child in self.executor.children.values()]
        if running:
            self.say(f"ending when what runs has ended: {', '.join(running)}; once more to end it now")
        deadline = time.monotonic() + self.options.drain
        while self.executor.children and not self._hurry.is_set() and time.monotonic() < deadline:
            self.turn(_TICK)
        self.executor.stop()
        self.outcomes.tick()

    def _watch_files(self) -> None:
        """DAG files and flow files that change are read anew, in a thread of their own."""
        stamp = self.reader.stamp()
        while not self._ending.wait(2.0):
            with contextlib.suppress(OSError):
                now = self.reader.stamp()
                if now != stamp:
                    stamp = now
                    try:
                        self._fresh = self.reader.read()
                    except DbtFlowError as error:
                        self.say(str(error))

    def _say_news(self) -> None:
        notices = self.log.notices(1)
        newest = notices[0]["id"] if notices else 0
        if newest > self._told:
            for notice in reversed(self.log.notices(min(50, newest - self._told))):
                if notice["id"] > self._told:
                    self.say(notice["text"])
        self._told = newest


def running_at(settings: Settings) -> dict[str, Any] | None:
    """Where the runtime of a state folder says it can be reached; None when none runs."""
    raw = FolderStore(settings.state).get(ADDRESS)
    if raw is None:
        return None
    try:
        address: dict[str, Any] = json.loads(raw)
        os.kill(int(address["pid"]), 0)
    except (ValueError, KeyError, ProcessLookupError):
        return None
    except PermissionError:
        pass
    return address
