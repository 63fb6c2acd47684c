"""The record of runs: ``runs/<target>/<dag>/<run>/`` with ``plan.json``, ``attempt-N.jsonl``, ``result.json``, ``card.html``.

A task writes a line to its attempt's log as each node starts and ends, so that a run that dies leaves what it knew.
``result.json`` is written once, by whoever settles the run: the task itself, its launcher, or the next reader.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from dbt_flow.records import RECORD_VERSION, SKIPPED, NodeResult, RunResult, check_version, utc_text
from dbt_flow.state.store import Store, encode, get_json, put_json, read_lines

NO_TARGET = "unknown"
"""Stands for the target of a run that ended before its target was known."""


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

    @property
    def alive(self) -> bool:
        """Whether the process that writes it still runs, or the launcher that may start the next attempt.

        As far as can be known from here: another host's is taken as alive. This process is no reason to wait for itself.
        """
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
    """Reads and writes one run's documents."""

    def __init__(self, store: Store, ref: RunRef) -> None:
        self.store = store
        self.ref = ref

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
        self._append(attempt, {"start": node, "at": at})

    def node_ended(self, attempt: int, result: NodeResult) -> None:
        """Note what became of a node."""
        self._append(attempt, {"end": result.to_dict()})

    def put(self, name: str, document: Any) -> None:
        """Write ``name`` (``plan.json``...) as JSON."""
        put_json(self.store, f"{self.ref.folder}/{name}", document)

    def put_text(self, name: str, text: str) -> None:
        """Write ``name`` (``card.html``) as it is."""
        self.store.put(f"{self.ref.folder}/{name}", text.encode("utf-8", "replace"))

    def settle(self, result: RunResult) -> bool:
        """Write the result unless there is one; says whether this call wrote it."""
        written = self.store.put_if_absent(f"{self.ref.folder}/result.json", encode(result.to_dict()))
        if written:
            summary = {
                "run": result.run,
                "target": result.target,
                "status": result.status,
                "started": result.started,
                "seconds": result.seconds,
                "trigger": result.trigger,
                "counts": result.counts,
                "reason": result.reason,
                "failed": [node.id for node in result.nodes if not node.good and node.status != SKIPPED][:200],
            }
            self.store.append(f"history/{self.ref.target}/{self.ref.dag}.jsonl", encode(summary) + b"\n")
        return written

    def _append(self, attempt: int, line: dict[str, Any]) -> None:
        self.store.append(f"{self.ref.folder}/attempt-{attempt}.jsonl", encode(line) + b"\n")

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
        """Every attempt's log, oldest first."""
        names = [n for n in self.store.list(self.ref.folder) if n.startswith("attempt-") and n.endswith(".jsonl")]
        numbers = sorted(int(name[len("attempt-") : -len(".jsonl")]) for name in names)
        return tuple(self._attempt(number) for number in numbers)

    def _attempt(self, number: int) -> Attempt:
        header: dict[str, Any] = {}
        started: dict[str, str] = {}
        results: dict[str, NodeResult] = {}
        for line in read_lines(self.store, f"{self.ref.folder}/attempt-{number}.jsonl"):
            if "end" in line:
                result = NodeResult.from_dict(line["end"])
                results[result.id] = result
            elif "start" in line:
                started[line["start"]] = line["at"]
            elif "pid" in line:
                check_version(line, f"{self.ref.folder}/attempt-{number}.jsonl")
                header = line
        return Attempt(number, header, started, tuple(results.values()))


def find_runs(store: Store, dag: str | None = None, target: str | None = None) -> Iterator[RunRef]:
    """Every recorded run, newest first within a DAG and target (Metaflow's ids grow with time)."""
    for target_name in store.list("runs") if target is None else [target]:
        for dag_name in store.list(f"runs/{target_name}") if dag is None else [dag]:
            numbers = store.list(f"runs/{target_name}/{dag_name}")
            for number in sorted(numbers, key=_by_number, reverse=True):
                yield RunRef(target_name, dag_name, number)


def find_run(store: Store, dag: str, number: str) -> RunRef | None:
    """The run of a DAG with that Metaflow id, on whichever target."""
    for target in store.list("runs"):
        if number in store.list(f"runs/{target}/{dag}"):
            return RunRef(target, dag, number)
    return None


def history(store: Store, dag: str, target: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """Summaries of settled runs, newest first. Damage costs the damaged lines, never the reader."""
    lines: list[dict[str, Any]] = []
    for name in store.list("history") if target is None else [target]:
        lines += [line for line in read_lines(store, f"history/{name}/{dag}.jsonl") if "run" in line and "started" in line]
    return sorted(lines, key=lambda line: str(line["started"]), reverse=True)[:limit]


def _by_number(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdigit() else (0, number)
