"""What is remembered of a backfill: ``backfills/<dag>/<id>.jsonl``, a line as each chunk's run begins and as it ends.

The same call has the same id, and so goes on where an earlier one stopped, however that ended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from filelock import FileLock, Timeout

from dbt_flow.errors import StateError
from dbt_flow.records import RECORD_VERSION, check_version, utc_text
from dbt_flow.state.store import Store, encode, read_lines


@dataclass(frozen=True)
class Known:
    """What became of a chunk so far."""

    run: str | None
    """The Metaflow pathspec of its last run."""
    status: str | None
    """A run's status; None when the run began and nobody noted its end."""
    reason: str = ""
    seconds: float = 0.0
    ended: str | None = None


class Ledger:
    """One backfill's log."""

    def __init__(self, store: Store, dag: str, call: Mapping[str, Any]) -> None:
        """:param call: all that makes it this backfill and no other: the days, the chunks' size, parameters, target."""
        self.store = store
        self.call = dict(call)
        self.id = hashlib.sha256(json.dumps([dag, self.call], sort_keys=True).encode()).hexdigest()[:10]
        self._key = f"backfills/{dag}/{self.id}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process of this machine out; the system lets go when this one dies.

        :raises StateError: ``backfill-running``, another process works on it.
        """
        lock = FileLock(self.store.local.path(f"{self._key}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            hint = "wait for it, or stop it with Ctrl-C where it runs; it can go on later"
            raise StateError("backfill-running", "this backfill goes on in another process", hint=hint) from None
        try:
            yield
        finally:
            lock.release()

    def known(self) -> dict[str, Known]:
        """Each chunk that was ever begun, by its first day; with ``again``, since then.

        :raises StateError: a newer dbt-flow wrote it.
        """
        found: dict[str, Known] = {}
        for line in read_lines(self.store, f"{self._key}.jsonl"):
            if "call" in line:
                check_version(line, "a backfill")
                if line.get("again"):
                    found.clear()
            elif "chunk" in line:
                facts = (line.get("run"), line.get("status"), str(line.get("reason") or ""), float(line.get("seconds") or 0))
                found[str(line["chunk"])] = Known(*facts, ended=line.get("at") if line.get("status") else None)
        return found

    def opened(self, *, again: bool) -> None:
        """Somebody begins, or goes on; with ``again``, from the start, whatever is good."""
        self._append({"version": RECORD_VERSION, "call": self.call, "again": again, "at": utc_text()})

    def begun(self, chunk: str, run: str) -> None:
        """A chunk's run has begun."""
        self._append({"chunk": chunk, "run": run, "at": utc_text()})

    def ended(self, chunk: str, known: Known) -> None:
        """A chunk's run has ended."""
        facts = {"run": known.run, "status": known.status, "reason": known.reason, "seconds": known.seconds}
        self._append({"chunk": chunk, **facts, "at": utc_text()})

    def _append(self, line: Mapping[str, Any]) -> None:
        self.store.append(f"{self._key}.jsonl", encode(line) + b"\n")
