"""Logs in a bucket. S3 cannot append: a log is a row of objects under the log's key, joined in the order of their names.

- A line that must be there at once is a segment of its own. Lines that may be on their way (:meth:`Writer.add` with ``soon``)
  are gathered: a thread writes them about once a second, into the writer's open segment, which it replaces as a whole until it
  is large enough. So a run of 5,000 nodes costs a request a second, in nobody's way; ``kill -9`` costs a second.
- A name begins with the time, so segments are in the order in which they were begun; no two writers share one.
- :meth:`Log.compact` makes one segment of many, a *base*, which lists the segments that it holds. Of several at once one wins
  (it is written if absent), and readers leave out what the newest base holds, so nothing is lost or seen twice while the old
  ones go.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from dbt_flow.errors import DbtFlowError, StateError

_SUFFIX = ".jsonl"
_BASE = "base-"
_OPEN = "-open"
_EVERY = 1.0  # seconds between two looks of the thread at what is to be written
_LARGE = 64_000  # bytes from which on a writer's open segment is left, and a new one begun
_MANY = 24  # segments of a log from which on who adds to it also joins them
_AT_ONCE = 8  # segments that are read side by side
_KEPT_IN_MEMORY = 4_000_000  # bytes of closed segments of one log


def is_log(key: str) -> bool:
    """Whether a key is a log's."""
    return key.endswith(_SUFFIX)


class Objects(Protocol):
    """What a log needs of the bucket."""

    def fetch(self, key: str) -> bytes | None:
        """An object's bytes, or None."""

    def place(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        """Write an object; says whether it did."""

    def objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Objects whose key begins so."""

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""


@dataclass
class _Segments:
    """A log as one listing found it."""

    base: str | None
    covered: frozenset[str]
    body: bytes
    """What the base holds."""
    names: list[str]
    """Segments that no base holds, in order."""
    listed: list[str]


@dataclass
class Log:
    """One log's reader, and the one who joins its segments."""

    store: Objects
    key: str
    _known: dict[str, bytes] = field(default_factory=dict)
    """Closed segments that were read before: they never change."""

    def read(self) -> bytes | None:
        """All lines; None when there is no log. A segment that goes away between listing and reading is in a base by then."""
        for _ in range(20):
            found = self._listed()
            if found is None:
                return None
            parts = self._parts(found.names)
            if parts is not None:
                return found.body + b"".join(parts)
        raise StateError("state-damaged", f"{self.key}: it changes faster than it can be read", hint="try again")

    def compact(self, keep: int | None = None) -> None:
        """Join the closed segments into one, of at most ``keep`` lines; if another does so just now, that is as good."""
        found = self._listed()
        if found is None:
            return
        closed = [name for name in found.names if not name.endswith(_OPEN)]
        parts = self._parts(closed)
        if parts is None:
            return
        lines = (found.body + b"".join(parts)).splitlines(keepends=True)
        held = [*closed, *(name for name in found.listed if name in found.covered)]
        number = int(found.base[len(_BASE) :]) + 1 if found.base else 1
        kept = lines if keep is None else lines[-keep:]
        head = json.dumps({"holds": held}).encode() + b"\n"
        if self.store.place(f"{self.key}/{_BASE}{number:08d}", head + b"".join(kept), if_absent=True):
            old = [*held, *(name for name in found.listed if name.startswith(_BASE))]
            for name in old:
                self._known.pop(name, None)
            with suppress(DbtFlowError):  # the next one removes them
                self.store.remove([f"{self.key}/{name}" for name in old])

    def _listed(self) -> _Segments | None:
        """None when there is no log."""
        names = sorted(entry["Key"].rpartition("/")[2] for entry in self.store.objects(f"{self.key}/"))
        if not names:
            return None
        base = max((name for name in names if name.startswith(_BASE)), default=None)
        raw = self._one(base) if base else b""
        if raw is None:  # a newer base has taken its place
            return self._listed()
        head, _, body = raw.partition(b"\n") if base else (b"{}", b"", b"")
        covered = frozenset(json.loads(head).get("holds", ()))
        free = [name for name in names if not name.startswith(_BASE) and name not in covered]
        return _Segments(base, covered, body, free, names)

    def _parts(self, names: list[str]) -> list[bytes] | None:
        """The bytes of segments; None when one of them has gone."""
        if len(names) > 1:
            with ThreadPoolExecutor(min(len(names), _AT_ONCE)) as pool:
                found = list(pool.map(self._one, names))
        else:
            found = [self._one(name) for name in names]
        return None if any(part is None for part in found) else [_ended(part) for part in found if part is not None]

    def _one(self, name: str) -> bytes | None:
        if name in self._known:
            return self._known[name]
        found = self.store.fetch(f"{self.key}/{name}")
        if found is not None and not name.endswith(_OPEN):
            if sum(map(len, self._known.values())) + len(found) > _KEPT_IN_MEMORY:
                self._known.clear()
            self._known[name] = found
        return found


def _ended(part: bytes) -> bytes:
    """A segment whose last line has its end."""
    return part if not part or part.endswith(b"\n") else part + b"\n"


@dataclass
class _Pending:
    """The open segment of one log: what it holds, and how much of that is in the bucket."""

    name: str
    value: bytearray = field(default_factory=bytearray)
    kept: int = 0


class Writer:
    """Adds to logs, for one process."""

    def __init__(self, store: Objects) -> None:
        self.store = store
        self._own = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._last = 0
        self._open: dict[str, list[_Pending]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._complained = False

    def add(self, key: str, value: bytes, *, soon: bool) -> None:
        """Add lines to a log; with ``soon`` they may be on their way.

        :raises StateError: the bucket says no; never with ``soon``.
        """
        if not is_log(key):
            raise ValueError(f"a log's key ends with {_SUFFIX}: {key}")
        if soon:
            with self._lock:
                pending = self._open.setdefault(key, [])
                if not pending or len(pending[-1].value) > _LARGE:
                    pending.append(_Pending(self._name() + _OPEN))
                pending[-1].value += _ended(value)
                self._watch()
            return
        with self._writing:
            self._put([key])
            with self._lock:  # what comes later stands behind this line, and so does what has come since the last look
                late = b"".join(bytes(each.value[each.kept :]) for each in self._open.pop(key, ()))
                name = self._name()
                if late:
                    self._open[key] = [_Pending(self._name() + _OPEN, bytearray(late))]
        self.store.place(f"{key}/{name}", value)
        if len([*self.store.objects(f"{key}/")]) > _MANY:
            with suppress(DbtFlowError):  # the next one does it
                Log(self.store, key).compact()

    def flush(self) -> None:
        """Write what waits. :raises StateError: the bucket says no."""
        with self._lock:
            keys = list(self._open)
        self._write(keys)

    def _write(self, keys: Iterable[str]) -> None:
        with self._writing:
            self._put(keys)

    def _put(self, keys: Iterable[str]) -> None:
        """Inside :attr:`_writing`."""
        for key in keys:
            with self._lock:
                waiting = [(each, bytes(each.value)) for each in self._open.get(key, ()) if each.kept < len(each.value)]
            for each, value in waiting:
                self.store.place(f"{key}/{each.name}", value)
                each.kept = len(value)
            with self._lock:
                if key in self._open:  # a full one that is written is left
                    *full, last = self._open[key]
                    self._open[key] = [each for each in full if each.kept < len(each.value)] + [last]

    def _name(self) -> str:
        """Of the next segment; names of one process are in the order in which they were given."""
        self._last = max(time.time_ns(), self._last + 1)
        return f"{self._last:020d}-{self._own}"

    def _watch(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="dbt-flow-state", daemon=True)
            self._thread.start()
            atexit.register(self._at_the_end)

    def _go_on(self) -> None:
        """The thread: what cannot be written now stays, and is tried again; told once."""
        while True:
            time.sleep(_EVERY)
            try:
                self.flush()
                self._complained = False
            except DbtFlowError as error:
                if not self._complained:
                    print(f"dbt-flow: {error.message}; trying again", file=sys.stderr, flush=True)
                self._complained = True

    def _at_the_end(self) -> None:
        with suppress(DbtFlowError):
            self.flush()
