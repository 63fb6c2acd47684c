"""The duties of the process that launches a local run: its signals reach the task, and the run is told however it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil
from metaflow import Run

from dbt_flow.errors import DbtFlowError
from dbt_flow.flows.far_runs import far
from dbt_flow.flows.shape import forget, store_in
from dbt_flow.run.watchdog import PARENT_VARIABLE


class Signals:
    """SIGINT and SIGTERM to the launcher alone reach its task too, as Ctrl-C does: the task records, and leaves."""

    def __init__(self) -> None:
        self.stopped: str | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        if self.stopped is not None:
            return  # it is ending already, within seconds
        self.stopped = f"stopped by {signal.Signals(number).name}"
        for task in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):
                task.send_signal(number)
        raise KeyboardInterrupt


def settle(config: Mapping[str, Any], run: str, stopped: str | None) -> None:
    """See to it that the run is told, if its task could not do it itself."""
    from dbt_flow.pipeline.card_again import finish
    from dbt_flow.pipeline.settle import settle_clone, settle_dead, settle_over
    from dbt_flow.state.runs import NO_TARGET, RunRecord, RunRef, find_run

    flow, name, store = str(config["dag"]["flow_name"]), config["dag"]["name"], store_in(config)
    task = cloned = None
    with suppress(Exception):  # Metaflow knows no task of it yet, or the task came to no result
        found = Run(f"{flow}/{run}", _namespace_check=False)["end"].task
        task = found.pathspec
        cloned = found["result"].data["run"]
    try:
        if cloned and task and cloned != f"{flow}/{run}":
            settle_clone(store, name, f"{flow}/{run}", cloned, task)
        else:
            settle_dead(store, name, run, flow, task=task, stopped=stopped)
            ref = find_run(store, name, run)
            if ref is not None:
                finish(RunRecord(store, ref))
            if far():
                settle_over(store, RunRef(NO_TARGET, name, run), {"flow": flow, "task": task}, stopped)
        forget(config)
    except DbtFlowError as error:
        print(f"dbt-flow: {error}", file=sys.stderr)


def stop_with_parent() -> None:
    """Interrupt this process when the ``dbt-flow run`` that started it is gone, however it went."""
    parent = int(os.environ.get(PARENT_VARIABLE) or 0)
    if not parent or (parent != os.getppid() and psutil.pid_exists(parent)):  # a run inside a run inherits the variable
        os.environ.pop(PARENT_VARIABLE, None)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.25)
        os.killpg(os.getpgid(0), signal.SIGINT)

    threading.Thread(target=watch, name="dbt-flow-parent", daemon=True).start()
