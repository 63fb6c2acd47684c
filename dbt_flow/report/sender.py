"""``python -m dbt_flow.report.sender FOLDER [BUCKET]``: empties the outbox after a run, so that no run waits for it.

It is detached from the run, tries for a while, and leaves; what then waits is the next run's, ``serve``'s or
``dbt-flow alerts flush``'s to send.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from dbt_flow.redact import text as redacted
from dbt_flow.report.agentless import send_left
from dbt_flow.report.channels import send
from dbt_flow.report.outbox import Flushed, Outbox
from dbt_flow.state.places import open_store
from dbt_flow.state.store import Store

PATIENCE = 120.0
"""Seconds for which a sender goes on trying."""
FAR_VARIABLE = "DBT_FLOW_FAR"
"""Set in a task that runs from a code package, on a machine of its own."""
_HURRY = 1.0
_LOOK_EVERY = 0.5
_LOG_BYTES = 200_000


def start(store: Store) -> None:
    """Start a sender that outlives this process; it leads a process group of its own, so the run's end does not end it."""
    if FAR_VARIABLE in os.environ:
        hurry(store)
        return
    here, bucket = store.local, getattr(store, "url", "")
    log = here.path("outbox/sender.log")
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.unlink()
    with log.open("ab") as out:
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(here.folder.absolute()), bucket],
            cwd=here.folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def hurry(store: Store) -> None:
    """Send at once, in a thread that is waited for shortly: in a container nothing outlives the run."""
    thread = threading.Thread(target=work, args=(store, 0.0), name="dbt-flow-sender", daemon=True)
    thread.start()
    thread.join(_HURRY)


def work(store: Store, patience: float = PATIENCE) -> Flushed:
    """Send until nothing waits or patience is over; gives what was done in all."""
    outbox = Outbox(store)
    until = time.monotonic() + patience
    total = Flushed()
    trouble = send_left(store)
    if trouble:
        print(f"no metrics: {redacted(trouble)}", flush=True)
    while True:
        done = outbox.flush(send)
        total.sent, total.dropped = total.sent + done.sent, total.dropped + done.dropped
        total.waiting, total.troubles, total.busy = done.waiting, done.troubles, done.busy
        wait = outbox.next_try()
        if wait is None:
            return total
        wait = max(wait, _LOOK_EVERY)
        if time.monotonic() + wait > until:
            return total
        time.sleep(wait)


def main() -> int:
    """One detached sender."""
    done = work(open_store(Path(sys.argv[1]), *filter(None, sys.argv[2:])))
    for variable, why in done.troubles.items():
        print(f"{done.waiting} waiting; {variable}: {why}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
