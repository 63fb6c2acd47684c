"""Watch a launched run in the terminal: a live display on a terminal, a line a node elsewhere, the story at the end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from dbt_flow.cli.terminal import console, emit_json, printable_on
from dbt_flow.errors import CODES, DbtFlowError, InputError, RunCancelled, RunFailed
from dbt_flow.launch import Launch, Running, forget, keep_log
from dbt_flow.records import GOOD, RunResult, flow_name
from dbt_flow.settings import Settings
from dbt_flow.state.places import shown, store_of
from dbt_flow.yamlfile.naming import dag_name

_RUN_ITSELF = ("run-failed", "timeout", "launcher-gone")


def watch(launch: Launch, as_json: bool) -> int:
    """Run to the end and tell; gives the exit code.

    :raises DbtFlowError: the DAG file is wrong, or Metaflow did not even make a run.
    """
    settings, dag = launch.settings, dag_name(launch.dag_file)
    with signals_stop() as stopping, _screen(as_json) as screen:
        running = stopping.watched(Running(launch))
        # While the run's process starts, load what its end needs.
        from dbt_flow.pipeline.card_again import finish
        from dbt_flow.pipeline.settle import settle_dead
        from dbt_flow.state.runs import RunRecord, RunRef

        for event in running.events():
            screen.show(event)
    run_id = running.run_id
    if run_id is None:
        words = running.last_words()
        forget(running.folder)
        if running.stopped:
            raise RunCancelled("run-cancelled", f"{dag} was {running.stopped} before it had begun")
        raise not_started(settings, launch.dag_file, words)
    result = settle_dead(store_of(settings), dag, run_id, flow_name(dag), task=running.task, stopped=running.stopped)
    if result is None:
        raise RunFailed("run-failed", f"{flow_name(dag)}/{run_id} has not ended", hint=f"see dbt-flow history {dag}")
    finish(RunRecord(store_of(settings), RunRef(result.target, dag, run_id)))
    log = keep_log(running, settings, f"runs/{result.target}/{dag}/{run_id}")
    tell(settings, result, as_json)
    if result.error and result.error["code"] == "run-failed" and not result.nodes:
        click.echo(f"Metaflow's log: {log}", err=True)
    return exit_code(result)


def exit_code(result: RunResult) -> int:
    """0 good, 1 the run failed, 2 it was refused for its input, 130 it was stopped."""
    if result.status == "success":
        return 0
    if result.status == "cancelled":
        return 130
    code = (result.error or {}).get("code")
    return 2 if code in CODES and code not in _RUN_ITSELF and not result.nodes else 1


def tell(settings: Settings, result: RunResult, as_json: bool) -> None:
    """The end of a run: the story for people, one document for machines."""
    from dbt_flow.report.story import story  # loaded when there is something to tell

    plan, card = plan_and_card(settings, result)
    if as_json:
        emit_json(document(result, plan, card))
        return
    screen = console(stdout=True)
    retry = {"retry": f"dbt-flow retry {result.run}"} if result.nodes else {}
    extra = _beside(settings, result, plan) if result.status != "success" else None
    for line in story(plan, result, width=screen.width, commands=retry, extra=extra):
        screen.print(line.text, style=line.style or None)
    if card:
        click.echo(f"Card: {card}")


def _beside(settings: Settings, result: RunResult, plan: Any) -> Any:
    """What is known beside the run: since when something fails, and after which change."""
    from dbt_flow.pipeline.settle import card_extra
    from dbt_flow.state.runs import RunRecord, RunRef

    store = store_of(settings)
    attempts = RunRecord(store, RunRef(result.target, result.dag, result.run.rpartition("/")[2])).attempts()
    return card_extra(store, result, attempts[-1].header if attempts else {}, plan)


def plan_and_card(settings: Settings, result: RunResult) -> tuple[Any, str | None]:
    """The run's plan, None when it had none, and its card's path as a person would type it."""
    from dbt_flow.plan.planned import Plan
    from dbt_flow.state.runs import RunRecord, RunRef

    store = store_of(settings)
    ref = RunRef(result.target, result.dag, result.run.rpartition("/")[2])
    document = RunRecord(store, ref).get("plan.json")
    card = f"{ref.folder}/card.html"
    there = "card.html" in store.list(ref.folder)
    return (None if document is None else Plan.from_dict(document)), (shown(settings, card) if there else None)


def document(result: RunResult, plan: Any, card: str | None) -> dict[str, Any]:
    """What ``run --json`` prints."""
    kinds = {node.id: node.type for node in plan.nodes} if plan else {}
    return {
        "dag": result.dag,
        "flow": result.flow,
        "run": result.run,
        "status": result.status,
        "reason": result.reason,
        "target": result.target,
        "seconds": result.seconds,
        "counts": result.counts,
        "nodes": [
            {
                "id": node.id,
                "type": kinds.get(node.id) or node.id.partition(".")[0],
                "status": node.status,
                "reason": node.reason or node.message,
                "seconds": node.seconds,
                "failures": node.failures,
                "blocked_by": list(node.blocked_by),
                **({"query": dict(node.query)} if node.query else {}),
            }
            for node in result.nodes
        ],
        "error": dict(result.error) if result.error else None,
        "card": card,
    }


def not_started(settings: Settings, file: Path, words: str) -> DbtFlowError:
    """What is wrong with the DAG file; if nothing is, Metaflow refused, and its own last words say why."""
    from dbt_flow.spec import load_dag  # the flow's process has read the file; this one does only to explain

    try:
        dag = load_dag(settings, file)
    except DbtFlowError as error:
        return error
    lines = [line.strip() for line in words.splitlines() if line.strip() and not line.startswith("Metaflow ")]
    said = "\n".join(lines[-8:]) or "it said nothing"
    return InputError("usage", f"Metaflow did not start {dag.flow_name}: {said}", place=dag.place())


class _Stopping:
    """Ctrl-C and SIGTERM ask the run to stop; one that comes while it starts is told to it as soon as it is there."""

    def __init__(self) -> None:
        self.running: Running | None = None
        self.asked: int | None = None

    def watched(self, running: Running) -> Running:
        """The run that the signals are for."""
        self.running = running
        if self.asked is not None:
            running.stop(self.asked)
        return running

    def __call__(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        """What :mod:`signal` calls."""
        self.asked = number
        if self.running is not None:
            self.running.stop(number)


@contextmanager
def signals_stop() -> Iterator[_Stopping]:
    """The display goes on until the run has stopped."""
    stopping = _Stopping()
    before = {number: signal.signal(number, stopping) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Lines:
    """A line for what has ended, for logs and pipes."""

    def __init__(self) -> None:
        self.total = 0
        self.seen: set[str] = set()
        self.names: dict[str, str] = {}

    def show(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "phase":
            self.say(f"{event['text']}")
        elif kind == "plan":
            self.names = {node: name for node, name, _ in event["nodes"]}
            self.total, self.seen = len(event["nodes"]), set()
            carried = f", {event['carried']} good already" if event["carried"] else ""
            self.say(f"{event['run']} on {event['target']}: {self.total} nodes to build{carried}")
        elif kind == "metric":
            self.say(event["line"])
        elif kind == "end":
            self.seen.add(event["id"])  # an isolated step that is tried again ends its nodes again
            self.ended(event)

    def ended(self, event: dict[str, Any]) -> None:
        rows = f", {event['failures']} failing rows" if event.get("failures") else ""
        name = self.names.get(event["id"], event["id"])
        self.say(f"[{len(self.seen)}/{self.total}] {event['status']:<8} {name} {event['seconds']:.2f}s{rows}")

    def say(self, text: str) -> None:
        click.echo(printable_on(sys.stderr, text), err=True)


class _Display(_Lines):
    """A bar, what is being built now, and failures as they come, on a terminal."""

    def __init__(self, live: Any, screen: Any) -> None:
        super().__init__()
        self.live, self.screen = live, screen
        self.running: dict[str, float] = {}
        self.phase = "starting"

    def show(self, event: dict[str, Any]) -> None:
        if event["event"] == "phase":
            self.phase = event["text"]
        elif event["event"] == "start":
            self.running[event["id"]] = time.monotonic()
        elif event["event"] == "end":
            self.running.pop(event["id"], None)
        if event["event"] not in ("phase", "tick"):
            super().show(event)
        self.live.update(self._frame(), refresh=event["event"] == "tick")

    def ended(self, event: dict[str, Any]) -> None:
        if event["status"] not in GOOD or event["status"] == "warn":
            super().ended(event)

    def say(self, text: str) -> None:
        from rich.text import Text

        self.screen.print(Text(text))

    def _frame(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if not self.total:
            return Text(f"… {self.phase}", style="dim")
        head = Table.grid(padding=(0, 1))
        head.add_row(
            ProgressBar(self.total, len(self.seen), width=30),
            Text(f"{len(self.seen)}/{self.total}"),
            Text(self.phase, style="dim"),
        )
        now = time.monotonic()
        rows = [
            Text(f"  {self.names.get(node, node)}  {now - began:.0f}s", style="cyan", overflow="ellipsis", no_wrap=True)
            for node, began in list(self.running.items())[:8]
        ]
        return Group(head, *rows)


@contextmanager
def _screen(as_json: bool) -> Iterator[_Lines]:
    """A live display when a person looks on; lines otherwise."""
    if as_json or not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.live import Live  # only for who has a terminal

    screen = console()
    with Live(console=screen, auto_refresh=False, transient=True) as live:
        yield _Display(live, screen)
