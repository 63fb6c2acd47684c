"""Starts what is owed, watches it, and writes down what became of it; ends and repeats what died with an earlier runtime.

A delivery's life: ready -> starting (it has a token) -> claimed (its process has taken it by that token) -> running (Metaflow
has made a run) -> done. A process that belongs to a delivery bears its token in its environment, and so do all that it starts:
that is how they are found after a crash, whatever became of process groups. One run of a delivery is alive at a time.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dbt_flow.errors import DbtFlowError
from dbt_flow.records import SUCCESS
from dbt_flow.serve import crash
from dbt_flow.serve.eventlog import LIVE, Delivery, EventLog
from dbt_flow.serve.intake import nobody
from dbt_flow.serve.listeners import Listening, Subscriber
from dbt_flow.serve.outcomes import events_of
from dbt_flow.serve.starter import DELIVERY_VARIABLE, Order, Outcome, Starter

CLAIM = Path(__file__).parent / "claim.py"
MOST_TRIES = 5
"""How often a delivery is started again after its runs died without a word."""
_STOP_WITHIN = 8.0


@dataclass
class _Child:
    """A process that this runtime started."""

    order: Order
    process: subprocess.Popen[bytes]
    state: str = "starting"
    run: str | None = None


@dataclass
class Executor:
    """Its methods are to be called outside transactions, from one thread."""

    log: EventLog
    starter: Starter
    folder: Path
    """Where each try has a folder of its own."""
    jobs: int = 4
    """How many runs at once."""
    listening: Listening = field(default_factory=Listening)
    busy: Callable[[str], bool] = nobody
    """Whether a run of that subscriber goes on that somebody else started: it is waited for."""
    starting: bool = True
    """False while the runtime drains."""
    children: dict[int, _Child] = field(default_factory=dict)

    def tick(self, now: float) -> None:
        """Look at what runs, and start what is owed."""
        for child in list(self.children.values()):
            self._look(child, now)
        room = self.jobs - len(self.children)
        if self.starting and room > 0:
            for delivery in self.log.ready_heads(room):
                subscriber = self.listening.by_name.get(delivery.subscriber)
                if self.busy(delivery.subscriber):
                    continue
                if subscriber is None:
                    note = "its DAG or flow is gone, or cannot be read"
                    with self.log.transaction():
                        self.log.change(delivery.id, state="done", status="refused", note=note, ended=now)
                    continue
                try:
                    self._start(subscriber, delivery, now)
                except (OSError, DbtFlowError) as error:
                    tried = self.log.delivery(delivery.id)
                    order = Order(subscriber, tried, (), Path(tried.folder or self.folder))
                    self._again(order, f"it could not be started: {error}", now)

    # ---- starting

    def _start(self, subscriber: Subscriber, delivery: Delivery, now: float) -> None:
        token, folder = uuid.uuid4().hex, self.folder / f"{delivery.id}-{delivery.tries + 1}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        facts = {"state": "starting", "token": token, "tries": delivery.tries + 1, "started": now, "folder": str(folder)}
        with self.log.transaction():
            self.log.change(delivery.id, **facts, pid=None, born=None, claimed=None, run=None)
        order = Order(subscriber, self.log.delivery(delivery.id), self.log.events_of(delivery.id), folder)
        command = self.starter.command(order)
        claim = [sys.executable, "-I", "-S", str(CLAIM), str(self.log.path), str(delivery.id), token]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*claim, *command.argv],
                cwd=command.cwd,
                env={**command.env, DELIVERY_VARIABLE: token},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        crash.point("spawned")
        self.children[delivery.id] = _Child(order, process)

    # ---- watching

    def _look(self, child: _Child, now: float) -> None:
        code = child.process.poll()
        if child.state == "starting" and self.log.delivery(child.order.delivery.id).state == "claimed":
            child.state = "claimed"
            crash.point("claimed")
        if child.state == "claimed":
            child.run = self.starter.run_of(child.order)
            if child.run:
                with self.log.transaction():
                    self.log.change(child.order.delivery.id, state="running", run=child.run)
                child.state = "running"
                crash.point("run-made")
        if code is None:
            return
        signal_group(child.process.pid, signal.SIGKILL)  # no process of a run outlives it
        if child.state == "starting":
            self._again(child.order, f"it could not be started (exit code {code})", now)
        else:
            outcome = self.starter.outcome(child.order, child.run, code)
            if outcome.status == "died":
                self._again(child.order, outcome.note, now)
            else:
                self._done(child.order, child.run, outcome, now)
        self.children.pop(child.order.delivery.id)

    def _done(self, order: Order, run: str | None, outcome: Outcome, now: float) -> None:
        number = order.delivery.id
        note = "\n".join(part for part in (self.log.delivery(number).note, outcome.note) if part)
        with self.log.transaction():
            self.log.change(number, state="done", status=outcome.status, run=run, ended=now, note=note[-4000:])
            if outcome.end is not None:
                for event in events_of(outcome.end):
                    self.log.add_event(event)
            if outcome.status != SUCCESS:
                name = order.subscriber.name
                self.log.notice(now, name, outcome.status, f"{run or name} {outcome.status}: {outcome.note[:500]}")
        if outcome.status == SUCCESS:
            shutil.rmtree(order.folder, ignore_errors=True)

    def _again(self, order: Order, why: str, now: float) -> None:
        """The delivery is still owed; after too many tries it is told and given up."""
        delivery = self.log.delivery(order.delivery.id)
        note = "\n".join(part for part in (delivery.note, f"try {delivery.tries}: {why}") if part)[-4000:]
        give_up = delivery.tries >= MOST_TRIES
        with self.log.transaction():
            if give_up:
                self.log.change(delivery.id, state="done", status="failed", note=note, ended=now, token=None)
                self.log.notice(now, delivery.subscriber, "given up", f"{delivery.subscriber} is given up: {why}")
            else:
                self.log.change(delivery.id, state="ready", note=note, token=None)

    # ---- after a crash, and at the end

    def recover(self, now: float) -> list[str]:
        """End what an earlier runtime left running; what it had not finished is owed again. Says what was found."""
        found = []
        for delivery in self.log.deliveries(LIVE):
            # First the state: a process that has not claimed yet finds that it is too late. Its token stays, to find it by.
            with self.log.transaction():
                self.log.change(delivery.id, state="claimed")
            if delivery.token:
                end_processes(delivery.token)
            found.append(self._recover(self.log.delivery(delivery.id), now))
        return found

    def _recover(self, delivery: Delivery, now: float) -> str:
        subscriber = self.listening.by_name.get(delivery.subscriber)
        if subscriber is None:
            with self.log.transaction():
                self.log.change(delivery.id, state="ready", token=None)
            return f"{delivery.subscriber}: its DAG or flow is gone, or cannot be read"
        order = Order(subscriber, delivery, self.log.events_of(delivery.id), Path(delivery.folder or self.folder))
        run = delivery.run or self.starter.run_of(order)
        outcome = self.starter.outcome(order, run, None)
        if outcome.status == "died":
            self._again(order, outcome.note or "it died with the runtime", now)
        else:
            self._done(order, run, outcome, now)
        return f"{delivery.subscriber}: {run or f'delivery {delivery.id}'} {outcome.status}"

    def stop(self) -> None:
        """Interrupt what runs, as Ctrl-C does, and wait until it has ended; it is owed again."""
        for child in self.children.values():
            signal_group(child.process.pid, signal.SIGINT)
        deadline = time.monotonic() + _STOP_WITHIN
        for child in list(self.children.values()):
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                signal_group(child.process.pid, signal.SIGKILL)
                child.process.wait()
            signal_group(child.process.pid, signal.SIGKILL)
        self.children.clear()


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a process group, if it is still there."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def end_processes(token: str) -> int:
    """End every process that bears a delivery's token: asked first, killed after some seconds. How many there were."""
    found = bearing(token)
    for process in found:
        _send(process, signal.SIGINT)
    _, alive = psutil.wait_procs(found, timeout=_STOP_WITHIN)
    while alive:
        for process in alive:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=2)
        alive = bearing(token)  # what they started in the meantime
    return len(found)


def bearing(token: str) -> list[psutil.Process]:
    """Every process of this user whose environment has the token."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(DELIVERY_VARIABLE) == token and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return
