"""The record of runs: ``runs/<target>/<dag>/<run>/`` with ``plan.json``, ``attempt-N.jsonl``, ``result.json``, ``card.html``.

A task writes a line to its attempt's log as each node starts and ends, so that a run that dies leaves what it knew.
``result.json`` is written once, by whoever settles the run: the task itself, its launcher, or the next reader.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import psutil

from dbt_flow.records import RECORD_VERSION, NodeResult, RunResult, check_version, utc_text
from dbt_flow.state.history import remember
from dbt_flow.state.signs import forget_signs, lives, signs
from dbt_flow.state.store import Store, encode, get_json, put_json, read_lines

NO_TARGET = "unknown"
"""Stands for the target of a run that ended before its target was known."""
_A_COUNT = 12  # digits that a counted id has at the most


@dataclass(frozen=True)
class RunRef:
    """Which run: its place in the store."""

    target: str
    dag: str
    number: str
    """Metaflow's run id."""

    @property
    def folder(self) -> str:
        """The run's key prefix."""
        return f"runs/{self.target}/{self.dag}/{self.number}"


@dataclass(frozen=True)
class Attempt:
    """What one attempt's log says."""

    number: int
    header: dict[str, Any]
    """pid, born (the process's start, seconds since the epoch), host, started, flow, owner, ..."""
    started: dict[str, str]
    """Node id to the time it started, of every node that did."""
    results: tuple[NodeResult, ...]
    step: str = ""
    """The Metaflow step whose attempt it is, in a run of several."""
    left: dict[str, Any] | None = None
    """What such a step left when it ended; None while it runs, or when it died."""

    @property
    def running(self) -> dict[str, str]:
        """The nodes that started and have not ended."""
        ended = {result.id for result in self.results}
        return {node: at for node, at in self.started.items() if node not in ended}

    @property
    def alive(self) -> bool:
        """Whether the process that writes it still runs, or the launcher that may start the next attempt.

        As far as can be known from here: another host's is taken as alive (:func:`goes_on` knows more). This process
        is no reason to wait for itself. A log whose first line was cut short (a full disk) has no writer any more.
        """
        if not self.header:
            return False
        if self.header.get("host") != socket.gethostname():
            return True
        launcher = self.header.get("launcher") or {}
        return still_runs(self.header) or (launcher.get("pid") != os.getpid() and still_runs(launcher))


def process_mark(pid: int) -> dict[str, Any]:
    """What tells a process from a later one with the same id; empty when there is none."""
    try:
        return {"pid": pid, "born": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {}


def still_runs(mark: Mapping[str, Any]) -> bool:
    """Whether the process of a :func:`process_mark` runs; one that has ended and was not yet waited for does not."""
    try:
        process = psutil.Process(mark["pid"])
        return abs(process.create_time() - mark["born"]) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, KeyError, TypeError):
        return False


class RunRecord:
    """Reads and writes one run's documents. Of a run of several steps each writes logs of its own."""

    def __init__(self, store: Store, ref: RunRef, step: str = "") -> None:
        self.store = store
        self.ref = ref
        self.step = step

    # ---- writing

    def begin_attempt(self, number: int, facts: dict[str, Any]) -> None:
        """Open an attempt's log, with who writes it."""
        header = {
            "version": RECORD_VERSION,
            **process_mark(os.getpid()),
            "host": socket.gethostname(),
            "started": utc_text(),
            **facts,
        }
        self._append(number, header)

    def node_started(self, attempt: int, node: str, at: str) -> None:
        """Note that a node is being built."""
        self._append(attempt, {"start": node, "at": at}, soon=True)

    def node_ended(self, attempt: int, result: NodeResult) -> None:
        """Note what became of a node."""
        self._append(attempt, {"end": result.to_dict()}, soon=True)

    def step_left(self, attempt: int, left: Mapping[str, Any]) -> None:
        """Note how one step's attempt ended, in a run of several."""
        self._append(attempt, {"left": dict(left)})

    def put_if_absent(self, name: str, document: Any) -> bool:
        """Write ``name`` as JSON unless it is there: of several steps the first one says what holds for all."""
        return self.store.put_if_absent(f"{self.ref.folder}/{name}", encode(document))

    def put(self, name: str, document: Any) -> None:
        """Write ``name`` (``plan.json``...) as JSON."""
        put_json(self.store, f"{self.ref.folder}/{name}", document)

    def put_text(self, name: str, text: str) -> None:
        """Write ``name`` (``card.html``) as it is."""
        self.store.put(f"{self.ref.folder}/{name}", text.encode("utf-8", "replace"))

    def settle(self, result: RunResult) -> bool:
        """Write the result unless there is one; says whether this call wrote it."""
        self.store.flush()
        written = self.store.put_if_absent(f"{self.ref.folder}/result.json", encode(result.to_dict()))
        if written:
            remember(self.store, self.ref.target, self.ref.dag, result)
            forget_signs(self.store, self.ref.dag, self.ref.number)
        return written

    def _append(self, attempt: int, line: dict[str, Any], *, soon: bool = False) -> None:
        self.store.append(f"{self.ref.folder}/{_log_name(attempt, self.step)}", encode(line) + b"\n", soon=soon)

    # ---- reading

    def get(self, name: str) -> Any | None:
        """Read a JSON document of the run, None when there is none.

        :raises StateError: when it is damaged or from a newer version.
        """
        document = get_json(self.store, f"{self.ref.folder}/{name}")
        if isinstance(document, dict):
            check_version(document, f"{self.ref.folder}/{name}")
        return document

    def get_text(self, name: str) -> str | None:
        """Read a text of the run, None when there is none."""
        raw = self.store.get(f"{self.ref.folder}/{name}")
        return None if raw is None else raw.decode("utf-8", "replace")

    def result(self) -> RunResult | None:
        """What became of the run; None while nobody has settled it."""
        document = self.get("result.json")
        return None if document is None else RunResult.from_dict(document)

    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt's log, first attempts first; in a run of several steps, of each step."""
        names = [n for n in self.store.list(self.ref.folder) if n.startswith("attempt-") and n.endswith(".jsonl")]
        logs = [name[len("attempt-") : -len(".jsonl")].partition(".") for name in names]
        found = [self._attempt(int(number), step) for number, _, step in logs]
        return tuple(sorted(found, key=lambda attempt: (attempt.number, str(attempt.header.get("started", "")))))

    def _attempt(self, number: int, step: str) -> Attempt:
        header: dict[str, Any] = {}
        started: dict[str, str] = {}
        results: dict[str, NodeResult] = {}
        left = None
        name = f"{self.ref.folder}/{_log_name(number, step)}"
        for line in read_lines(self.store, name):
            if "end" in line:
                result = NodeResult.from_dict(line["end"])
                results[result.id] = result
            elif "start" in line:
                started[line["start"]] = line["at"]
            elif "left" in line:
                left = line["left"]
            elif "pid" in line:
                check_version(line, name)
                header = line
        return Attempt(number, header, started, tuple(results.values()), step, left)


def _log_name(attempt: int, step: str) -> str:
    return f"attempt-{attempt}.{step}.jsonl" if step else f"attempt-{attempt}.jsonl"


def last_results(record: RunRecord) -> list[NodeResult]:
    """What became of each node of a run, settled or not."""
    found = {result.id: result for attempt in record.attempts() for result in attempt.results}
    settled = record.result()
    if settled is not None:
        found.update({result.id: result for result in settled.nodes})
    return list(found.values())


def goes_on(record: RunRecord, attempts: Sequence[Attempt] | None = None) -> bool:
    """Whether a run that nobody has settled has a process that works on it, or may yet get one.

    :param attempts: the record's, for who has read them.
    """
    attempts = record.attempts() if attempts is None else attempts
    far = [attempt for attempt in attempts if attempt.header and attempt.header.get("host") != socket.gethostname()]
    if any(attempt.alive for attempt in attempts if attempt not in far):
        return True
    if not far:
        return False
    began = max(str(attempt.header.get("started")) for attempt in far)
    return lives(signs(record.store, record.ref.dag, record.ref.number), began)


def good_results(record: RunRecord) -> list[NodeResult]:
    """The good results of a run, settled or not."""
    return [result for result in last_results(record) if result.good]


def find_runs(store: Store, dag: str | None = None, target: str | None = None) -> Iterator[RunRef]:
    """Every recorded run, newest first within a DAG and target."""
    for target_name in store.list("runs") if target is None else [target]:
        for dag_name in store.list(f"runs/{target_name}") if dag is None else [dag]:
            numbers = store.list(f"runs/{target_name}/{dag_name}")
            for number in _newest_first(store, f"{target_name}/{dag_name}", numbers):
                yield RunRef(target_name, dag_name, number)


def find_run(store: Store, dag: str, number: str) -> RunRef | None:
    """The run of a DAG with that Metaflow id, on whichever target."""
    for target in store.list("runs"):
        if number in store.list(f"runs/{target}/{dag}"):
            return RunRef(target, dag, number)
    return None


def newest_run(store: Store, refs: Sequence[RunRef]) -> RunRef:
    """Of runs as :func:`find_runs` gives them the one that began last, whatever their DAGs and targets."""
    first = {(ref.target, ref.dag): ref for ref in reversed(refs)}
    if len(first) == 1:
        return refs[0]
    if all(ref.number.isdigit() for ref in first.values()):
        return max(first.values(), key=lambda ref: int(ref.number))

    def began(ref: RunRef) -> str:
        attempts = RunRecord(store, ref).attempts()
        return str(attempts[0].header.get("started", "")) if attempts else ""

    return max(first.values(), key=began)


def _newest_first(store: Store, history: str, numbers: list[str]) -> list[str]:
    """Metaflow's own ids grow with time; a scheduler's do not, and say nothing of it: there the history knows.

    What has no line of history yet goes on, or died a moment ago, unless its id says when it began.
    """
    if all(number.isdigit() for number in numbers):
        return sorted(numbers, key=int, reverse=True)
    told = read_lines(store, f"history/{history}.jsonl")
    began = {str(line.get("run")).rpartition("/")[2]: str(line.get("started")) for line in told}

    def key(number: str) -> tuple[str, str]:
        if number in began:
            return began[number], number
        if number.isdigit():  # Metaflow's local metadata counts microseconds, its service counts runs
            return (utc_text(datetime.fromtimestamp(int(number) / 1e6, timezone.utc)) if len(number) > _A_COUNT else ""), number
        return "9", number

    return sorted(numbers, key=key, reverse=True)
