"""A root with DAG files and a runtime over it, whose runs are stand-ins.

Processes and claims are real; there is no Metaflow and no dbt."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbt_flow.serve.event import make
from dbt_flow.serve.flow_reading import Reader
from dbt_flow.serve.runtime import Answer, Options, Runtime
from dbt_flow.serve.starter import Command, Order, Outcome
from dbt_flow.settings import Settings, load_settings

RUN = Path(__file__).parent / "stand_in_run.py"


@dataclass
class StandIn:
    """A :class:`dbt_flow.serve.starter.Starter` whose runs are stand-ins."""

    state: Path
    seconds: Mapping[str, float] = field(default_factory=dict)
    bad: tuple[str, ...] = ()
    started: list[Order] = field(default_factory=list)

    def command(self, order: Order) -> Command:
        self.started.append(order)
        name = order.subscriber.name
        status = "failed" if name in self.bad else "success"
        words = [str(self.state), name, str(order.delivery.id), str(order.folder), str(self.seconds.get(name, 0)), status]
        return Command([sys.executable, "-I", "-S", str(RUN), *words], self.state, dict(os.environ))

    def run_of(self, order: Order) -> str | None:
        file = order.folder / "run-id"
        return f"{order.subscriber.flow}/{file.read_text()}" if file.exists() and file.read_text() else None

    def outcome(self, order: Order, run: str | None, code: int | None) -> Outcome:
        number = (run or "/").partition("/")[2]
        result = self.state / "runs" / "dev" / order.subscriber.name / number / "result.json"
        if number and result.exists():
            return Outcome(json.loads(result.read_text())["status"])
        return Outcome("died" if code in (None, -9, -2) else "failed", "it left nothing")


@dataclass
class Stand:
    """The root, and what became of it."""

    folder: Path
    now: float | None = None
    """The runtime's clock; None for the real one."""

    def dag(self, name: str, trigger: str, more: str = "") -> None:
        (self.folder / "dags" / f"{name}.yaml").write_text(f"owner: team\nselect: x\ntrigger: {trigger}\n{more}")

    @property
    def settings(self) -> Settings:
        return load_settings(start=self.folder, environ={})

    @property
    def state(self) -> Path:
        return self.folder / ".dbt_flow"

    def clock(self) -> float:
        return time.time() if self.now is None else self.now

    def runtime(self, starter: StandIn | None = None, jobs: int = 4) -> Runtime:
        """An open runtime that is turned by hand."""
        self.state.mkdir(exist_ok=True)
        self.starter = starter or StandIn(self.state)
        self.said: list[str] = []
        options = Options(jobs=jobs, watch_files=False)
        runtime = Runtime(self.settings, self.starter, options, clock=self.clock, say=self.said.append)

        runtime.listening = Reader(self.settings).read()
        runtime.open()
        return runtime

    def journal(self) -> list[list[str]]:
        file = self.state / "journal"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def hold(self, dag: str) -> None:
        """From now on runs of that DAG take as long as :meth:`let_go` lets them wait."""
        self.state.mkdir(exist_ok=True)
        (self.state / f"hold-{dag}").touch()

    def let_go(self, dag: str) -> None:
        """Let held runs end."""
        (self.state / f"hold-{dag}").unlink()

    def ended(self) -> Counter[str]:
        """How many runs of each DAG came to an end."""
        return Counter(line[2] for line in self.journal() if line[0] == "end")


def send(runtime: Runtime, name: str, **payload: object) -> Answer:
    """As the webhook does, from the thread that turns the runtime."""
    with runtime.log.transaction():
        return runtime._accept(make(name, payload, runtime.clock()))


def settle(runtime: Runtime, until: Callable[[], bool] | None = None, seconds: float = 120) -> None:
    """Turn the runtime until it is idle (twice, because an end starts what is next)."""
    deadline, quiet = time.monotonic() + seconds, 0
    while quiet < 3 or (until is not None and not until()):
        assert time.monotonic() < deadline, [dict(row) for row in runtime.log.db.execute("SELECT * FROM deliveries")]
        runtime.turn(0.01)
        quiet = quiet + 1 if runtime.idle() else 0


def settle_until(runtime: Runtime, happened: Callable[[], object]) -> None:
    """Turn until it has happened."""
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        runtime.turn(0.01)


def settle_until_running(runtime: Runtime) -> None:
    """Turn until something runs."""
    settle_until(runtime, lambda: runtime.log.deliveries(("running",)))
