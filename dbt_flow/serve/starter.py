"""How a delivery becomes a process, and what became of it. Tests that are not about Metaflow have their own starter."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dbt_flow.errors import StateError
from dbt_flow.launch import command_line, environment
from dbt_flow.pipeline.receipt import MISSING_VARIABLE
from dbt_flow.records import FAILED, RUN_CANCELLED, SUCCESS
from dbt_flow.serve import local_metadata
from dbt_flow.serve.event import PAYLOAD_VARIABLE, Event, encode, variables
from dbt_flow.serve.eventlog import Delivery
from dbt_flow.serve.listeners import Subscriber
from dbt_flow.serve.outcomes import End
from dbt_flow.settings import Settings
from dbt_flow.state.places import store_of

DECORATOR = "dbt_flow_trigger"
TAG = "dbt_flow_delivery"
DELIVERY_VARIABLE = "DBT_FLOW_DELIVERY"
"""``<token>`` of the delivery that a process works for; all that it starts inherit it, and are found by it."""
_SETTLE_WITHIN = 3.0


@dataclass(frozen=True)
class Command:
    """A process to start."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What became of a delivery's process."""

    status: str
    """``success``, ``failed``, ``cancelled``; ``died`` when it was killed before it could say: the delivery is still owed."""
    note: str = ""
    end: End | None = None
    """Of an ML flow's good end: what is told to others. A DAG's is read from its record."""


@dataclass(frozen=True)
class Order:
    """What is to be started: a delivery with all that belongs to it."""

    subscriber: Subscriber
    delivery: Delivery
    events: Sequence[Event]
    folder: Path
    """Of this try alone: the log, and Metaflow's run id."""


class Starter(Protocol):
    """What the executor needs of whatever runs things."""

    def command(self, order: Order) -> Command:
        """The process that runs it."""

    def run_of(self, order: Order) -> str | None:
        """The run that the process has made, ``CarrierRisk/12``; None while there is none."""

    def outcome(self, order: Order, run: str | None, code: int | None) -> Outcome:
        """What became of it, when the process has ended; ``code`` is None when nobody could wait for it."""


@dataclass
class MetaflowStarter:
    """Starts DAGs and ML flows as Metaflow runs, with ``current.trigger`` filled as on Argo."""

    settings: Settings
    webhook: str = ""
    """Where the runs send events to."""
    _ends: dict[str, str] = field(default_factory=dict)

    def command(self, order: Order) -> Command:
        """See :class:`Starter`."""
        subscriber, delivery = order.subscriber, order.delivery
        triggers = variables(list(order.events))
        words = ["run", "--run-id-file", str(order.folder / "run-id"), "--tag", f"{TAG}:{delivery.id}"]
        words += [f"--{name}={_text(value)}" for name, value in delivery.params.items()]
        if triggers:
            words += ["--with", DECORATOR]
        if subscriber.kind == "dag":
            argv = command_line(self.settings.root / subscriber.file, words)
        else:
            argv = [sys.executable, str(self.settings.root / subscriber.file), "--quiet", "--no-pylint", *words]
        said = {
            "DBT_FLOW_TRIGGER": " ".join(delivery.why.split())[:1000],
            "DBT_FLOW_PARENT": str(os.getpid()),
            MISSING_VARIABLE: encode({"": list(delivery.missing)})[4:-1],
            "METAFLOW_ARGO_EVENTS_WEBHOOK_URL": self.webhook,
            **triggers,
        }
        env = {
            name: value
            for name, value in environment(self.settings, {}).items()
            if not name.startswith((PAYLOAD_VARIABLE, "DBT_FLOW_CRASH", "DBT_FLOW_SERVE_TOKEN"))
        }
        return Command(argv, self.settings.root, {**env, **said})

    def run_of(self, order: Order) -> str | None:
        """See :class:`Starter`: what Metaflow wrote to its run-id file, else the run that bears the delivery's tag."""
        with contextlib.suppress(OSError):
            number = (order.folder / "run-id").read_text().strip()
            if number:
                return f"{order.subscriber.flow}/{number}"
        return None

    def tagged_run(self, order: Order) -> str | None:
        """The run that bears the delivery's tag: for one that died between making the run and writing its id."""
        root = local_metadata.metaflow_root(self.settings.root)
        number = local_metadata.find_tagged(root, order.subscriber.flow, f"{TAG}:{order.delivery.id}")
        since = (order.delivery.started or 0) * 1e6
        return f"{order.subscriber.flow}/{number}" if number and int(number) > since else None

    def outcome(self, order: Order, run: str | None, code: int | None) -> Outcome:
        """See :class:`Starter`."""
        run = run or self.tagged_run(order)
        if run is None:
            return Outcome(FAILED if code is not None else "died", last_words(order.folder))
        return self._of_dag(order, run, code) if order.subscriber.kind == "dag" else self._of_flow(order, run, code)

    def _of_dag(self, order: Order, run: str, code: int | None) -> Outcome:
        from dbt_flow.pipeline.settle import settle_dead  # noqa: PLC0415 - loads the card's side, when a run has ended

        store, deadline = store_of(self.settings), time.monotonic() + _SETTLE_WITHIN
        flow, _, number = run.partition("/")
        result = settle_dead(store, order.subscriber.name, number, flow)
        while result is None and time.monotonic() < deadline:
            time.sleep(0.05)
            result = settle_dead(store, order.subscriber.name, number, flow)
        if result is None:
            return Outcome("died", f"{run} has not ended")
        with contextlib.suppress(StateError):  # a full disk takes the log, not the outcome
            store.put(f"runs/{result.target}/{order.subscriber.name}/{number}/metaflow.log", log_of(order.folder))
        if code is None and result.status != SUCCESS and _killed(result):
            return Outcome("died", f"{run}: {result.reason}")
        return Outcome(result.status, result.reason)

    def _of_flow(self, order: Order, run: str, code: int | None) -> Outcome:
        root = local_metadata.metaflow_root(self.settings.root)
        flow, _, number = run.partition("/")
        told = local_metadata.good_end(root, flow, number, order.subscriber.end) if root else None
        if told or code == 0:
            task, at = told or (f"{run}/{order.subscriber.end}/1", time.time())
            said = local_metadata.tags_of(root / run) if root else None
            project, branch = said or (order.subscriber.project, order.subscriber.branch)
            return Outcome(SUCCESS, end=End(flow, number, SUCCESS, at, task, project, branch))
        if code is None:
            return Outcome("died", f"{run} was ended with the runtime")
        return Outcome(RUN_CANCELLED if code in (-2, 130) else FAILED, last_words(order.folder))


def _killed(result: Any) -> bool:
    """Whether a DAG's run is not good because its processes were killed, and not because of its models."""
    code = (result.error or {}).get("code")
    silent = code == "run-failed" and (not result.nodes or any(node.status == "lost" for node in result.nodes))
    return code in ("launcher-gone", "run-cancelled") or silent


def log_of(folder: Path) -> bytes:
    """What a process printed; the end of it, if it is long."""
    with contextlib.suppress(OSError), (folder / "log").open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - 2_000_000))
        return stream.read()
    return b""


def last_words(folder: Path, lines: int = 6) -> str:
    """The end of what a process printed."""
    said = [line.strip() for line in log_of(folder).decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(said[-lines:])[-1500:]


def _text(value: Any) -> str:
    """A parameter's value as Metaflow's command line takes it."""
    return value if isinstance(value, str) else encode({"": value})[4:-1] if isinstance(value, (dict, list)) else str(value)
