"""Run one command and read what it cost: wall time, CPU seconds and peak memory, each of the whole process tree."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Cost:
    """Seconds, seconds, megabytes."""

    wall: float
    cpu: float
    memory: float
    code: int


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float = 1800) -> Cost:
    """Run ``command`` to its end and give what it cost; its output goes to ``last-output.txt`` in the folder.

    CPU seconds are those of the command and of every descendant that was waited for.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with (folder / "last-output.txt").open("wb") as output:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        peak = _Peak(process.pid)
        peak.start()
        code = process.wait(timeout)
    wall = time.perf_counter() - began
    peak.stop()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, peak.megabytes, code)


def _memory(process: psutil.Process) -> float:
    """Megabytes: proportional where the system tells (Linux), else resident."""
    full = process.memory_full_info()
    return float(getattr(full, "pss", full.rss)) / 1e6


class _Peak(threading.Thread):
    """Looks at the memory of a process tree a few times a second; shared pages are shared out among them (PSS)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.megabytes = 0.0
        self._over = threading.Event()
        self._root = psutil.Process(pid)

    def run(self) -> None:
        while not self._over.wait(0.15):
            with suppress(psutil.Error):
                tree = [self._root, *self._root.children(recursive=True)]
                now = 0.0
                for process in tree:
                    with suppress(psutil.Error):
                        now += _memory(process)
                self.megabytes = max(self.megabytes, now)

    def stop(self) -> None:
        self._over.set()
        self.join()
