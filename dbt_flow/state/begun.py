"""Runs that have begun and may have no record yet: ``begun/<dag>.jsonl``, a line by the launcher and one by the task.

A run whose processes are killed while dbt still parses leaves nothing else. From these lines the next reader settles it. They
tell of processes, so they stay on the machine that these run on; of runs elsewhere :mod:`.signs` tells.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.records import RECORD_VERSION, utc_text
from dbt_flow.state.history import history
from dbt_flow.state.runs import Attempt, RunRecord, find_run, process_mark
from dbt_flow.state.signs import dags_with_signs, forget_signs, lives, runs_with_signs, signs
from dbt_flow.state.store import Store, encode, read_lines

KEPT = 20
"""Lines of a DAG that are kept at the least; twice as many at the most. Who has a record needs none here."""


def note_begun(store: Store, dag: str, run: str, facts: Mapping[str, Any]) -> None:
    """Note that this process is about to work on a run (``CarrierRisk/12``).

    :raises StateError: the state folder cannot be written.
    """
    key, here = _key(dag), store.local
    line = {
        "version": RECORD_VERSION,
        **process_mark(os.getpid()),
        "host": socket.gethostname(),
        "started": utc_text(),
        "run": run,
        **facts,
    }
    here.append(key, encode(line) + b"\n")
    with suppress(DbtFlowError):
        if len([*read_lines(here, key)]) > 2 * KEPT:
            here.trim(key, KEPT)


def header_of(store: Store, dag: str, number: str) -> dict[str, Any]:
    """What is known of a run that has begun; empty when nothing is."""
    here = next((lines[-1] for run, lines in _lines(store, dag).items() if run == number), {})
    return here or next(iter(signs(store, dag, number)), {})


def dags_begun(store: Store) -> dict[str, str]:
    """The DAGs of which a run has begun here, or lives elsewhere, each with a mark that is another when one more has."""
    found = {key.rpartition("/")[2].removesuffix(".jsonl"): mark for key, mark in store.local.logs("begun").items()}
    for dag, mark in dags_with_signs(store).items():
        found[dag] = f"{found.get(dag, '')} {mark}"
    return found


def unheard(store: Store, dag: str) -> tuple[tuple[str, ...], bool]:
    """Metaflow's ids of the runs of a DAG that have no record and whose processes are gone; and whether others may follow.

    Those of other machines also when they have a record.
    """
    silent = {number: lines for number, lines in _lines(store, dag).items() if find_run(store, dag, number) is None}
    alive = {number for number, lines in silent.items() if any(Attempt(0, line, {}, ()).alive for line in lines)}
    if len(alive) < len(silent):  # one whose record was removed since is in the history all the same
        alive |= {str(line["run"]).rpartition("/")[2] for line in history(store, dag, limit=2 * KEPT)}
    dead, others = _elsewhere(store, dag, silent.keys())
    return (*(number for number in silent if number not in alive), *dead), bool(alive & silent.keys()) or others


def _elsewhere(store: Store, dag: str, here: Container[str]) -> tuple[list[str], bool]:
    """Of the runs that have left signs those that are dead, and whether others live."""
    dead, others = [], False
    for number in runs_with_signs(store, dag):
        if number in here:
            continue
        if lives(signs(store, dag, number)):
            others = True
            continue
        ref = find_run(store, dag, number)
        if ref is not None and RunRecord(store, ref).result() is not None:
            forget_signs(store, dag, number)  # its last one was on its way while the run was settled
        else:
            dead.append(number)
    return dead, others


def _lines(store: Store, dag: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    with suppress(DbtFlowError):
        for line in read_lines(store.local, _key(dag)):
            if line.get("version") == RECORD_VERSION and isinstance(line.get("run"), str):
                found.setdefault(line["run"].rpartition("/")[2], []).append(line)
    return found


def _key(dag: str) -> str:
    return f"begun/{dag}.jsonl"
