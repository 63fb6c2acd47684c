"""A warm process beside Metaflow's launcher: it imports what tasks need while the launcher gets ready; tasks are its forks.

Metaflow starts a process for each task. Each would pay both imports (two seconds and more), and the first only after the
launcher had paid its own. With a warm process, what Metaflow starts hands its command line, environment and standard streams
over, and waits: the fork goes on in the flow file as if it had been started so. The fork's signals, its end and its exit code
are those of the process that Metaflow sees; when either goes, so does the other.

A fork is safe here: the warm process has imported and done nothing else, has one thread and no connection. Where there is none
(not on Linux, not started, refused since the task's environment differs in what an import reads) the task imports for itself.
``DBT_FLOW_WARM=off`` says so for all.

Only the standard library is loaded with this module: it is called before anything else in the flow file.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

VARIABLE = "DBT_FLOW_WARM"
"""``off``, or the path of the socket at which the warm process takes tasks."""

LOCAL_COMMANDS = ("run", "resume")
"""Those that run tasks on this machine, unless told otherwise."""

_FLAG = "--warm"
_REMOTE = ("kubernetes", "batch")
_ANSWER_WITHIN = 60.0  # seconds for the imports, on the busiest machine; then the task imports for itself
_GONE_WITHIN = 5.0  # seconds
_LONGEST_PATH = 100  # characters; the system's limit for a socket's path is 108
_TAKEN, _REFUSED = b"y", b"n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_READ_AT_IMPORT = ("METAFLOW_", "DBT_", "PYTHON")
_EVERY_TASKS_OWN = ("METAFLOW_RUN_ID", "PYTHONUNBUFFERED")
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)

_kept: list[Any] = []
"""The launcher's end of the pipe that ends with it, and the warm process."""


def command() -> str | None:
    """Metaflow's command on this process's command line."""
    known = "run resume step show card check argo-workflows step-functions airflow tag dump logs"
    return next((word for word in sys.argv[1:] if word in known.split()), None)


def begin() -> None:
    """What the flow file does first, by its command line: start a warm process, be one, hand over to one, or nothing.

    In a task it returns only where the task must import for itself; in a warm process only in the forks.
    """
    if sys.platform != "linux" or os.environ.get(VARIABLE) == "off":
        return
    if sys.argv[1:2] == [_FLAG]:
        _Warm(socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])).serve()
    elif command() == "step" and VARIABLE in os.environ:
        _hand_over(os.environ[VARIABLE])
    elif command() in LOCAL_COMMANDS and not any(word.partition(":")[0] in _REMOTE for word in sys.argv):
        with suppress(OSError):  # no room for a socket or a process: every task imports for itself
            _start()


def leave_after(work: Callable[[], object]) -> NoReturn:
    """Do a task's work and leave the process at once: taking thousands of modules apart costs half a second."""
    code: Any = 0
    try:
        work()
    except SystemExit as left:
        code = left.code
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


# ---- the launcher


def _start() -> None:
    feed = os.environ.get("DBT_FLOW_FEED")
    beside = Path(feed).with_name("warm") if feed else None  # that folder goes with the run, whatever happens
    if beside is None or len(str(beside)) > _LONGEST_PATH:
        beside = Path(tempfile.mkdtemp(prefix="dbt-flow-")) / "warm"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(beside))
    listener.listen()
    reader, writer = os.pipe()
    command = [sys.executable, "-u", sys.argv[0], _FLAG, str(listener.fileno()), str(reader)]
    nobody = subprocess.DEVNULL
    warm = subprocess.Popen(command, pass_fds=(listener.fileno(), reader), stdin=nobody, stdout=nobody, stderr=nobody)
    listener.close()
    os.close(reader)
    _kept.extend((writer, warm))
    os.environ[VARIABLE] = str(beside)


def end() -> None:
    """In the launcher, at its end: the warm process goes, and what it used is counted as this process's children's."""
    if _kept:
        writer, warm = _kept
        _kept.clear()
        os.close(writer)
        with suppress(subprocess.TimeoutExpired):
            warm.wait(_GONE_WITHIN)


# ---- a task, as Metaflow starts it


def _hand_over(path: str) -> None:
    request = {"argv": sys.argv, "environment": dict(os.environ), "folder": str(Path.cwd())}
    line = socket.socket(socket.AF_UNIX)
    try:
        line.settimeout(_ANSWER_WITHIN)
        line.connect(path)
        text = json.dumps(request).encode()
        socket.send_fds(line, [len(text).to_bytes(8, "big")], [0, 1, 2])
        line.sendall(text)
        if line.recv(1) != _TAKEN:
            return
    except OSError:  # it could not be started, or has died
        return
    line.settimeout(None)
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: line.send(bytes([number])))
    code = int.from_bytes(_exactly(line, 4) or (1).to_bytes(4, "big"), "big", signed=True)
    if code < 0:  # ended by a signal, and so does this process
        with suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 1)


def _exactly(line: socket.socket, size: int) -> bytes | None:
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


# ---- the warm process


class _Warm:
    """Imports, then forks a process for each task that is handed over, until the launcher has gone and all have ended."""

    def __init__(self, listener: socket.socket, launcher: int) -> None:
        self.listener = listener
        self.path = Path(listener.getsockname())
        self.launcher = launcher
        self.environment = dict(os.environ)
        self.running: dict[int, tuple[int, socket.socket]] = {}
        """By the descriptor that tells of a fork's end: its process id, and the line to the task that waits for it."""

    def serve(self) -> None:
        """Return in forks only; the warm process itself leaves from here."""
        import gc
        import threading

        for number in _SIGNALS:  # they are for the tasks
            signal.signal(number, signal.SIG_IGN)
        with suppress(Exception):  # the tasks import for themselves then, and tell what is wrong
            _die_with_parent(signal.SIGKILL)  # nothing is lost yet
            _imports()
            _die_with_parent(0)
            gc.collect()
            gc.freeze()  # pages that no collection touches stay shared with the forks
            if threading.active_count() == 1 and self._forks():
                return
        with suppress(OSError):
            self.path.unlink()
        with suppress(OSError):  # a launch's own folder has other things in it
            self.path.parent.rmdir()
        os._exit(0)

    def _forks(self) -> bool:
        """Take tasks; True in a fork."""
        import select

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
            line.settimeout(_ANSWER_WITHIN)
            size, streams, _, _ = socket.recv_fds(line, 8, 3)
            request = json.loads(_exactly(line, int.from_bytes(size, "big")) or b"null")
            if request is None or len(streams) != 3 or differs(self.environment, request["environment"]):
                line.send(_REFUSED)
                line.close()
                return False
            line.send(_TAKEN)
            line.settimeout(None)
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # one that comes now is the fork's, once it can hear
            fork = os.fork()
            if fork == 0:
                line.close()
                self._become(request, streams)
                return True
            self.running[os.pidfd_open(fork)] = (fork, line)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        except OSError:  # whoever asked has gone
            line.close()
        finally:
            for stream in streams:
                with suppress(OSError):
                    os.close(stream)
        return False

    def _become(self, request: Mapping[str, Any], streams: list[int]) -> None:
        """In the fork: be the task."""
        _die_with_parent(signal.SIGKILL)
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
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

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
