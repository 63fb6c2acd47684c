"""The tests' way to end the server, as ``kill -9`` does, at a named point. Nothing happens unless the variable is set.

``DBT_FLOW_CRASH=claimed:/path/of/a/marker``: the first time that point is passed the marker is made and the process killed;
while the marker exists nothing happens.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "DBT_FLOW_CRASH"
POINTS = ("accepted", "spawned", "claimed", "run-made", "recorded", "sent")


def point(name: str) -> None:
    """Pass a named point."""
    wanted, _, marker = os.environ.get(VARIABLE, "").partition(":")
    if wanted != name or not marker:
        return
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
