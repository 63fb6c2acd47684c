"""A warm process beside Metaflow's launcher: it imports dbt while the launcher gets ready; tasks are its forks.

Metaflow starts a process for each task. Each would pay both imports (two seconds and more), and the first only after the
launcher had paid its own. The warm process is a fork of the launcher, made when that has imported Metaflow, so nobody imports
it again. What Metaflow starts then hands its command line, environment and standard streams over, and waits: a fork of the
warm process goes on in the flow file as if it had been started so. The fork's signals, its end and its exit code are those of
the process that Metaflow sees; when either goes, so does the other. The last task of a run, mostly the only one, is the warm
process itself: a fork would cost the memory of what both write to.

A fork is safe here: the launcher and the warm process have imported and done nothing else, have one thread and no connection.
Where there is none (not on Linux, not started, refused since the task's environment differs in what an import reads) the task
imports for itself. ``DBT_FLOW_WARM=off`` says so for all.

Only the standard library is loaded with this module: it is called before anything else in the flow file.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from dbt_flow.flows.forking import ANSWER_WITHIN, BECOME, FORKED, SIGNALS, Warm, exactly, seen
from dbt_flow.flows.garbage import seldom

VARIABLE = "DBT_FLOW_WARM"
"""``off``, or the path of the socket at which the warm process takes tasks."""

LOCAL_COMMANDS = ("run", "resume")
"""Those that run tasks on this machine, unless told otherwise."""

_REMOTE = ("kubernetes", "batch")
_GONE_WITHIN = 5.0  # seconds
_LONGEST_PATH = 100  # characters; the system's limit for a socket's path is 108

_kept: list[Any] = []
"""The launcher's end of the pipe that ends with it, and the warm process's id."""


def command() -> str | None:
    """Metaflow's command on this process's command line."""
    known = "run resume step show card check argo-workflows step-functions airflow tag dump logs"
    return next((word for word in sys.argv[1:] if word in known.split()), None)


def begin() -> None:
    """What the flow file does before its imports: a task hands over to the warm process, and then does not return from here.

    The imports make no garbage worth looking for, and looking costs a tenth of their time: :func:`imported` allows it again.
    """
    gc.disable()
    if _here() and command() == "step" and VARIABLE in os.environ:
        _hand_over(os.environ[VARIABLE])


def imported() -> None:
    """What the flow file does after its imports: a launcher starts its warm process. In that it returns as a task."""
    local = command() in LOCAL_COMMANDS and not any(word.partition(":")[0] in _REMOTE for word in sys.argv)
    if local and _here() and threading.active_count() == 1:
        with suppress(OSError):  # no room for a socket or a process: every task imports for itself
            _start()
    gc.freeze()
    seldom()
    gc.enable()


def _here() -> bool:
    return sys.platform == "linux" and os.environ.get(VARIABLE) != "off"


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
    number = (code if isinstance(code, int) else int(code is not None)) & 0xFF  # as the system takes it
    for line in seen:
        with suppress(OSError):
            line.sendall(number.to_bytes(4, "big", signed=True))
    os._exit(number)


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
    gc.freeze()  # pages that no collection touches stay shared
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # one that comes now is the launcher's
    warm = os.fork()
    if warm == 0:
        os.close(writer)
        _silence()
        Warm(listener, reader).serve()
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    listener.close()
    os.close(reader)
    _kept.extend((writer, warm))
    os.environ[VARIABLE] = str(beside)


def _silence() -> None:
    """The launcher's log is not the warm process's: who reads it sees its end when the launcher has gone."""
    nobody = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nobody, stream)
    os.close(nobody)


def end() -> None:
    """In the launcher, at its end: the warm process goes, and what it used is counted as this process's children's."""
    if _kept:
        writer, warm = _kept
        _kept.clear()
        os.close(writer)
        until = time.monotonic() + _GONE_WITHIN
        with suppress(ChildProcessError):
            while os.waitpid(warm, os.WNOHANG) == (0, 0) and time.monotonic() < until:
                time.sleep(0.01)


# ---- a task, as Metaflow starts it


def _hand_over(path: str) -> None:
    request = {"argv": sys.argv, "environment": dict(os.environ), "folder": str(Path.cwd())}
    line = socket.socket(socket.AF_UNIX)
    try:
        line.settimeout(ANSWER_WITHIN)
        line.connect(path)
        text = json.dumps(request).encode()
        socket.send_fds(line, [len(text).to_bytes(8, "big")], [0, 1, 2])
        line.sendall(text)
        answer = line.recv(1)
        if answer not in (FORKED, BECOME):
            return
        became = int.from_bytes(exactly(line, 4) or b"", "big") if answer == BECOME else 0
        ended = os.pidfd_open(became) if became else None
    except OSError:  # it could not be started, or has died
        return
    line.settimeout(None)
    for number in SIGNALS:
        signal.signal(number, lambda number, _: line.send(bytes([number])))
    told = exactly(line, 4)
    if ended is not None:
        select.select([ended], [], [])  # then nothing is open any more, and the system knows how it ended
    code = int.from_bytes(told, "big", signed=True) if told else _ended_as(became)
    if code < 0:  # ended by a signal, and so does this process
        with suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 1)


def _ended_as(pid: int) -> int:
    """The exit code of a process that said none, and that nobody has waited for yet; never 0."""
    with suppress(OSError, ValueError, IndexError):
        return os.waitstatus_to_exitcode(int(Path(f"/proc/{pid}/stat").read_text().split()[-1])) or 1
    return 1
