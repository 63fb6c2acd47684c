"""The warm process of a launcher (:mod:`.warm`): it imports what tasks need, and then becomes them or forks them.

Only the standard library is loaded with this module.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ANSWER_WITHIN = 60.0  # seconds for the imports, on the busiest machine; then the task imports for itself
FORKED, BECOME, _REFUSED = b"f", b"b", b"n"
_LAST_STEP = "end"
_READ_AT_IMPORT = ("METAFLOW_", "DBT_", "PYTHON")
_EVERY_TASKS_OWN = ("METAFLOW_RUN_ID", "PYTHONUNBUFFERED")
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)

seen: list[socket.socket] = []
"""In a task that is the warm process itself: the line to the process that Metaflow sees."""


class Warm:
    """Imports, then forks a process for each task that is handed over, until the launcher has gone and all have ended."""

    def __init__(self, listener: socket.socket, launcher: int) -> None:
        self.listener = listener
        self.path = Path(listener.getsockname())
        self.launcher = launcher
        self.environment = dict(os.environ)
        self.running: dict[int, tuple[int, socket.socket]] = {}
        """By the descriptor that tells of a fork's end: its process id, and the line to the task that waits for it."""

    def serve(self) -> None:
        """Return in tasks only; the warm process itself leaves from here."""
        for number in SIGNALS:  # they are for the tasks
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        with suppress(Exception):  # the tasks import for themselves then, and tell what is wrong
            _die_with_parent(signal.SIGKILL)  # nothing is lost yet
            _imports()
            _die_with_parent(0)
            if threading.active_count() == 1 and self._forks():
                return
        self._unreachable()
        os._exit(0)

    def _unreachable(self) -> None:
        with suppress(OSError):
            self.path.unlink()
        with suppress(OSError):  # a launch's own folder has other things in it
            self.path.parent.rmdir()

    def _forks(self) -> bool:
        """Take tasks; True in one."""
        launched = True
        while launched or self.running:
            lines = {line.fileno(): ended for ended, (_, line) in self.running.items()}
            listening = [self.listener.fileno(), self.launcher] if launched else []
            readable, _, _ = select.select([*listening, *self.running, *lines], [], [])
            for found in readable:
                if found == self.launcher:
                    launched = False  # what still runs notices it too, and ends by itself
                elif found in self.running:
                    self._ended(found)
                elif found in lines:
                    self._pass_on(lines[found])
                elif self._take():
                    return True
        return False

    def _take(self) -> bool:
        line, _ = self.listener.accept()
        streams: list[int] = []
        try:
            line.settimeout(ANSWER_WITHIN)
            size, streams, _, _ = socket.recv_fds(line, 8, 3)
            request = json.loads(exactly(line, int.from_bytes(size, "big")) or b"null")
            if request is None or len(streams) != 3 or differs(self.environment, request["environment"]):
                line.send(_REFUSED)
                line.close()
                return False
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # one that comes now is the task's, once it can hear
            if _step_of(request["argv"]) == _LAST_STEP and not self.running:
                line.sendall(BECOME + os.getpid().to_bytes(4, "big"))
                line.settimeout(None)
                self._unreachable()
                self._become(request, streams)
                seen.append(line)
                threading.Thread(target=_obey, args=(line,), daemon=True).start()
                return True
            line.send(FORKED)
            line.settimeout(None)
            fork = os.fork()
            if fork == 0:
                line.close()
                _die_with_parent(signal.SIGKILL)
                self._become(request, streams)
                return True
            self.running[os.pidfd_open(fork)] = (fork, line)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        except OSError:  # whoever asked has gone
            line.close()
        finally:
            for stream in streams:
                with suppress(OSError):
                    os.close(stream)
        return False

    def _become(self, request: Mapping[str, Any], streams: list[int]) -> None:
        """Be the task."""
        self.listener.close()
        os.close(self.launcher)
        for ended, (_, line) in self.running.items():
            os.close(ended)
            line.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv[:] = request["argv"]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _ended(self, descriptor: int) -> None:
        pid, line = self.running.pop(descriptor)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(OSError):
            line.sendall(code.to_bytes(4, "big", signed=True))
        line.close()

    def _pass_on(self, descriptor: int) -> None:
        if descriptor not in self.running:
            return  # it has just ended
        pid, line = self.running[descriptor]
        numbers = b""
        with suppress(OSError):
            numbers = line.recv(64)
        for number in numbers or (signal.SIGKILL,):  # nothing: whom Metaflow saw was killed
            os.kill(pid, number)  # it was not waited for, so the number is its own still


def _step_of(words: list[str]) -> str | None:
    return next((after for word, after in pairwise(words) if word == "step"), None)


def _obey(line: socket.socket) -> None:
    """Take signals from the process that Metaflow sees; when that was killed, so is this one."""
    while True:
        numbers = b""
        with suppress(OSError):
            numbers = line.recv(64)
        for number in numbers or (signal.SIGKILL,):
            os.kill(os.getpid(), number)


def differs(here: Mapping[str, str], there: Mapping[str, str]) -> bool:
    """Whether two environments differ in what Metaflow, dbt or Python may read when they are imported."""

    def read(environment: Mapping[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in environment.items()
            if name.startswith(_READ_AT_IMPORT) and not name.startswith("DBT_FLOW_") and name not in _EVERY_TASKS_OWN
        }

    return read(here) != read(there)


def _imports() -> None:
    """All that a task needs."""
    import metaflow  # noqa: F401

    import dbt_flow.pipeline.execute
    import dbt_flow.pipeline.isolated  # noqa: F401


def _die_with_parent(number: int) -> None:
    """Have the system send this process a signal when its parent ends; 0 for none. Best effort: it is a second net."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number, 0, 0, 0)


def exactly(line: socket.socket, size: int) -> bytes | None:
    """So many bytes, or None when the other side has gone before they came."""
    found = b""
    while len(found) < size:
        try:
            more = line.recv(size - len(found))
        except OSError:
            return None
        if not more:
            return None
        found += more
    return found
