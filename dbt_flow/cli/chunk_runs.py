"""The runs of a backfill: each chunk is launched, watched and noted; so many at a time as may be.

The first chunk that is to run goes alone. It tells what nobody can know before dbt has been asked: whether the DAG is refused,
which stops the backfill, and whether runs may go side by side (:mod:`dbt_flow.plan.side_by_side`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from dbt_flow.cli.chunk_display import Lines, screen_for
from dbt_flow.cli.watching import exit_code, not_started
from dbt_flow.errors import DbtFlowError, StateError
from dbt_flow.launch import Launch, Running, forget, keep_log
from dbt_flow.plan.planned import Plan
from dbt_flow.plan.side_by_side import hindrance
from dbt_flow.records import RunResult, flow_name
from dbt_flow.settings import Settings
from dbt_flow.spec.chunks import Chunk, Over
from dbt_flow.state.backfills import Known, Ledger
from dbt_flow.state.runs import RunRecord, find_run
from dbt_flow.state.store import Store

_LOOK_EVERY = 0.2  # seconds between looks at what has ended
_TOLD = 10  # failed chunks that are told in full


@dataclass(frozen=True)
class Backfill:
    """What is to be run."""

    file: Path
    dag: str
    chunks: tuple[Chunk, ...]
    over: Over
    given: dict[str, str]
    """Parameters that every run is given."""
    target: str | None
    ledger: Ledger
    command: str
    """The same call, to go on with."""

    def known(self) -> dict[str, Known]:
        """What became of each chunk so far; of a run whose end nobody noted, what its record says."""
        found = self.ledger.known()
        for name, known in found.items():
            if known.status is None and known.run:
                result = _recorded(self.ledger.store, known.run, self.dag)
                if result is not None:
                    found[name] = _known(result)
        return found

    def notes(self) -> list[str]:
        """What a person should know before so many runs."""
        longer = any(chunk.end - chunk.start > timedelta(days=1) for chunk in self.chunks)
        if longer and self.over.start and not self.over.end:
            name = self.over.start
            return [
                f"{name} is the first day of each chunk: a model that reads that day alone leaves the chunk's other days out"
            ]
        return []

    def document(self, known: dict[str, Known], status: str) -> dict[str, Any]:
        """What ``--json`` prints."""
        rows = []
        for chunk in self.chunks:
            became = known.get(str(chunk.start))
            rows.append(
                {
                    "start": str(chunk.start),
                    "end": str(chunk.end),
                    "parameters": {**self.given, **self.over.values(chunk)},
                    "status": (became.status if became else None) or "to run",
                    "run": became.run if became else None,
                    "reason": became.reason if became else "",
                    "seconds": became.seconds if became else None,
                }
            )
        facts = {"dag": self.dag, "backfill": self.ledger.id, **{key: self.ledger.call[key] for key in ("from", "to", "chunk")}}
        return {**facts, "target": self.target, "status": status, "chunks": rows, "command": self.command}


@dataclass
class Chunks:
    """Runs them; :attr:`known` then says what became of each."""

    settings: Settings
    backfill: Backfill
    parallel: int = 1
    fail_fast: bool = False
    quiet: bool = False
    """No live display, though there is a terminal."""
    known: dict[str, Known] = field(default_factory=dict)
    good_before: int = 0
    stopped: str | None = None
    refused: DbtFlowError | None = None

    def __post_init__(self) -> None:
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()
        self._screen: Lines = Lines(0)

    def run(self) -> int:
        """Run what has no good result; gives the exit code.

        :raises DbtFlowError: a chunk's run was refused: so would be the others.
        """
        self.known = self.backfill.known()
        todo = [chunk for chunk in self.backfill.chunks if not self._good(chunk)]
        self.good_before = len(self.backfill.chunks) - len(todo)
        with self._signals_stop(), screen_for(len(todo), self.quiet) as self._screen:
            if self.good_before:
                self._screen.say(f"{self.good_before} of {len(self.backfill.chunks)} chunks are good already")
            for note in self.backfill.notes():
                self._screen.say(f"note: {note}")
            self._side_by_side(todo)
        if self.refused is not None:
            raise self.refused
        if self.stopped:
            return 130
        return 0 if all(self._good(chunk) for chunk in self.backfill.chunks) else 1

    # ---- how many at a time

    def _side_by_side(self, todo: list[Chunk]) -> None:
        waiting, lanes = list(todo), 1
        with ThreadPoolExecutor(self.parallel) as pool:
            open_: set[Future[None]] = set()
            while waiting or open_:
                while waiting and len(open_) < lanes and not self._enough():
                    open_.add(pool.submit(self._one, waiting.pop(0)))
                if not open_:
                    return
                done, open_ = wait(open_, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
                for each in done:
                    each.result()
                self._screen.tick()
                if done and lanes == 1 and self.parallel > 1:
                    lanes = self._lanes()

    def _enough(self) -> bool:
        failed = self.fail_fast and any(known.status == "failed" for known in self.known.values() if known.run in self._made)
        return bool(self.stopped or self.refused or failed)

    @property
    def _made(self) -> set[str | None]:
        """The runs of this call."""
        return self._screen.runs

    def _lanes(self) -> int:
        """How many runs may go on at once, by what the last one left; until one has left a plan, one."""
        record = next(
            (found for run in self._made if run and (found := _record(self.backfill.ledger.store, run, self.backfill.dag))),
            None,
        )
        plan = record.get("plan.json") if record else None
        if record is None or plan is None:
            return 1
        made = record.get("artifacts.json") or {}
        why_not = hindrance(Plan.from_dict(plan), made.get("database"), bool(self.backfill.over.start or self.backfill.given))
        if why_not:
            self._screen.say(f"one run at a time: {why_not}")
            self.parallel = 1
        return self.parallel

    # ---- one chunk

    def _one(self, chunk: Chunk) -> None:
        name = str(chunk.start)
        try:
            launch = self._launch(chunk)
            with self._lock:
                if self.stopped:
                    return
                running = self._running[name] = Running(launch)
            self._screen.began(chunk)
            noted = False
            for event in running.events():
                if not noted and running.run_id:
                    noted = True
                    self.backfill.ledger.begun(name, f"{flow_name(self.backfill.dag)}/{running.run_id}")
                self._screen.heard(chunk, event)
            self._ended(chunk, launch, running)
        except DbtFlowError as error:  # the state folder, or the DAG: neither is better for the next chunk
            self.refused = self.refused or error
        finally:
            with self._lock:
                self._running.pop(name, None)

    def _launch(self, chunk: Chunk) -> Launch:
        backfill = self.backfill
        first, last = self.backfill.ledger.call["from"], self.backfill.ledger.call["to"]
        given = {**backfill.given, **backfill.over.values(chunk)}
        variables = {
            "DBT_FLOW_TRIGGER": f"backfill {first}..{last}: {chunk}",
            "DBT_FLOW_NO_REUSE": "1",  # what holds for one chunk's days does not for another's
            "DBT_FLOW_EVENT_TIME_START": str(chunk.start),
            "DBT_FLOW_EVENT_TIME_END": str(chunk.end),
            **({"DBT_FLOW_TARGET": backfill.target} if backfill.target else {}),
        }
        words = [word for key, value in given.items() for word in (f"--{key}", value)]
        command = ("run", "--tag", f"backfill:{backfill.ledger.id}", *words)
        return Launch(dag_file=backfill.file, command=command, settings=self.settings, variables=variables)

    def _ended(self, chunk: Chunk, launch: Launch, running: Running) -> None:
        from dbt_flow.pipeline.settle import settle_dead  # loads the card's side: only once something has ended

        dag, store, run = self.backfill.dag, self.backfill.ledger.store, running.run_id
        if run is None:
            words = running.last_words()
            forget(running.folder)
            if not running.stopped:
                raise not_started(self.settings, launch.dag_file, words)
            return
        result = settle_dead(store, dag, run, flow_name(dag), task=running.task, stopped=running.stopped)
        if result is None:
            raise StateError("state-damaged", f"{flow_name(dag)}/{run} has no result", hint=f"see dbt-flow history {dag}")
        keep_log(running, self.settings, f"runs/{result.target}/{dag}/{run}")
        known = self.known[str(chunk.start)] = _known(result)
        self.backfill.ledger.ended(str(chunk.start), known)
        self._screen.ended(chunk, known)
        if exit_code(result) == 2 and result.error:
            raise _refusal(result)

    # ---- parts

    def _good(self, chunk: Chunk) -> bool:
        known = self.known.get(str(chunk.start))
        return known is not None and known.status == "success"

    @contextmanager
    def _signals_stop(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask every run to stop, and nothing further begins."""

        def stop(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a handler
            self.stopped = f"stopped by {signal.Signals(number).name}"
            for running in list(self._running.values()):
                running.stop(number)

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def lines(backfill: Backfill, runs: Chunks, code: int) -> Iterator[tuple[str, str]]:
    """The end of a backfill for people: each line with its style."""
    total = len(backfill.chunks)
    became = [(chunk, runs.known.get(str(chunk.start))) for chunk in backfill.chunks]
    good = sum(known is not None and known.status == "success" for _, known in became)
    before = f", {runs.good_before} of them before" if runs.good_before else ""
    if code == 0:
        yield f"✓ {backfill.dag}: {f'all {total} chunks are' if total > 1 else 'its one chunk is'} good{before}", "bold green"
        return
    failed = [(chunk, known) for chunk, known in became if known is not None and known.status == "failed"]
    word = f"{len(failed)} of {total} chunks failed" if failed else (runs.stopped or "stopped")
    left = total - good - len(failed)
    yield (
        f"✕ {backfill.dag}: {word}; {good} are good{before}{f', {left} have not run to their end' if left else ''}",
        "bold red",
    )
    for chunk, known in failed[:_TOLD]:
        yield f"  {chunk}  {known.run}: {known.reason}", "red"
        yield f"    see why: dbt-flow card {known.run}", ""
    if len(failed) > _TOLD:
        yield f"  … {len(failed) - _TOLD} more: {backfill.command} --dry-run", ""
    yield f"  next: {'mend it, then ' if failed else ''}{backfill.command}", "yellow"
    yield "  It runs what has no good result, each chunk from its beginning: others have built the same tables since.", "dim"


def _known(result: RunResult) -> Known:
    return Known(result.run, result.status, result.reason, result.seconds, result.finished)


def _record(store: Store, run: str, dag: str) -> RunRecord | None:
    ref = find_run(store, dag, run.rpartition("/")[2])
    return RunRecord(store, ref) if ref else None


def _recorded(store: Store, run: str, dag: str) -> RunResult | None:
    """The result of a run whose end nobody noted; one that died without a word is settled now. None while it goes on."""
    from dbt_flow.cli.finding import settled

    record = _record(store, run, dag)
    return settled(record) if record else None


def _refusal(result: RunResult) -> DbtFlowError:
    from dbt_flow.errors import Place, ProjectError

    error = result.error or {}
    place = Place(str(error["file"]), error.get("line"), error.get("column")) if error.get("file") else None
    return ProjectError(str(error["code"]), str(error["message"]), place=place, hint=error.get("hint"))
