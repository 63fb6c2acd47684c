"""Run as a process: ``python -I -S claim.py DATABASE DELIVERY TOKEN COMMAND...``: claim a delivery, then become COMMAND.

The process that the runtime starts takes its delivery before it makes a run: whoever is second finds it taken and ends. It
then becomes Metaflow's process by ``exec``, with the same process id and time of birth, by which it is found again.
Only the standard library is loaded, so that this costs hundredths of a second.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time

TAKEN = 75
"""The exit code of a process that came too late."""


def main(database: str, delivery: str, token: str, command: list[str]) -> None:
    """Claim, then become ``command``; ends with :data:`TAKEN` when the delivery is no longer this process's to claim."""
    connection = sqlite3.connect(database, timeout=30, isolation_level=None)
    taken = connection.execute(
        "UPDATE deliveries SET state = 'claimed', pid = ?, claimed = ? WHERE id = ? AND token = ? AND state = 'starting'",
        (os.getpid(), time.time(), int(delivery), token),
    )
    changed = taken.rowcount
    connection.close()
    if changed != 1:
        sys.exit(TAKEN)
    os.execv(command[0], command)  # noqa: S606 - a list, and no shell


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
