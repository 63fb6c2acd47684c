"""What processes that were killed at work have left: names that tell who made a thing, so that the next process sweeps it.

A state may be shared by machines (a bucket, a volume of several containers): only what this machine's dead left is swept.
"""

from __future__ import annotations

import hashlib
import os
import socket

import psutil


def maker() -> str:
    """How the name begins of what this process makes for as long as it lives: its id, and its machine."""
    return f"{os.getpid()}.{_machine()}"


def left_behind(name: str) -> bool:
    """Whether a process of this machine made what bears that name, and has gone."""
    process, _, machine = name.partition("-")[0].partition(".")
    return machine == _machine() and process.isdigit() and not psutil.pid_exists(int(process))


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
