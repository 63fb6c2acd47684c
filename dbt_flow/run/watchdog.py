"""Stops a run that must end: on SIGINT and SIGTERM, at its timeout, and when the process that launched the task is gone.

An exception raised by a signal handler inside dbt's main thread crashes dbt, and a long query holds back every handler written
in Python. So signals only write their number to a socket (``signal.set_wakeup_fd``, at C level), and a thread reads it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from dbt_flow.state.runs import process_mark, still_runs

LAUNCHER_VARIABLE = "DBT_FLOW_LAUNCHER"
"""The process id of the Metaflow launcher whose end must end the task; set by the flow file for local runs only."""

PARENT_VARIABLE = "DBT_FLOW_PARENT"
"""The process id of the ``dbt-flow run`` that started the launcher: when it is gone, the run must end as well."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_EVERY = 0.25  # seconds between looks at the clock and at the launcher


@dataclass(frozen=True)
class Stop:
    """Why a run is being stopped: a code of :data:`dbt_flow.errors.CODES` and a sentence."""

    code: str
    reason: str


class Watchdog:
    """A context in which ``on_stop`` is called once, from a thread of its own, when the run must end."""

    def __init__(self, timeout: float | None, on_stop: Callable[[Stop], None]) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._timeout = timeout
        self._launched = bool(int(os.environ.get(LAUNCHER_VARIABLE) or 0))
        self._launcher = process_mark(int(os.environ.get(LAUNCHER_VARIABLE) or 0))
        self._parent = process_mark(int(os.environ.get(PARENT_VARIABLE) or 0)) if self._launched else {}
        self._on_stop = on_stop
        self._reader, self._writer = socket.socketpair()
        self._handlers: dict[int, Any] = {}
        self._wakeup = -1
        self.over = False
        """Set when what the process was to do is done and recorded: from there to its end no signal says otherwise."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dbt-flow-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._writer.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            for number in _SIGNALS:
                self._handlers[number] = signal.signal(number, _do_nothing)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closed.set()
        with suppress(BlockingIOError):  # full of signals: then it is awake
            self._writer.send(b"\0")  # wakes the thread up
        self._thread.join()
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_IGN if self.over else handler)
        if self._handlers:
            signal.set_wakeup_fd(self._wakeup)
        self._reader.close()
        self._writer.close()

    def _watch(self) -> None:
        while not self._closed.is_set():
            stop = self._look()
            if stop is not None and not self._closed.is_set():
                self._on_stop(stop)
                return

    def _look(self) -> Stop | None:
        readable, _, _ = select.select([self._reader], [], [], _LOOK_EVERY)
        if readable:
            numbers = [number for number in self._reader.recv(64) if number in _SIGNALS]
            if numbers and not self._orphaned():
                return Stop("run-cancelled", f"stopped by {signal.Signals(numbers[0]).name}")
        if self._deadline is not None and time.monotonic() > self._deadline:
            return Stop("timeout", f"it took longer than its timeout of {self._timeout:g} s")
        if self._orphaned():
            return Stop("launcher-gone", "the process that launched it is gone")
        return None

    def _orphaned(self) -> bool:
        if self._launched and not still_runs(self._launcher):
            return True
        return bool(self._parent and not still_runs(self._parent))


def _do_nothing(number: int, frame: object) -> None:
    """Stands in for Python's handler, so that the signal neither kills nor raises."""
