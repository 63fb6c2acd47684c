"""Who listens to dbt: every node's start and end, noted at once where it cannot be lost.

dbt calls from its worker threads, and a callback that raises turns a built model into an error: nothing here raises.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from dbt_flow import redact
from dbt_flow.errors import DbtFlowError
from dbt_flow.records import CANCELLED, NodeResult, utc_text
from dbt_flow.state.runs import RunRecord

FEED_VARIABLE = "DBT_FLOW_FEED"
"""Names the file that a launcher on this machine reads to show the run live."""


class Feed:
    """JSON lines to the launcher, or to nobody when there is none."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    @classmethod
    def from_environment(cls) -> Feed:
        """The feed that this process's launcher asked for."""
        return cls(os.environ.get(FEED_VARIABLE) or None)

    def tell(self, event: str, **facts: Any) -> None:
        """Add a line; a feed that cannot be written is nobody's loss."""
        if self.path is None:
            return
        line = json.dumps({"event": event, **redact.document(facts)}, default=str) + "\n"
        with suppress(OSError):
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(handle, line.encode("utf-8", "replace"))
            finally:
                os.close(handle)


class Recorder:
    """Keeps what is known of every node of one attempt: in memory, in the attempt's log, on the feed, in the task's own log."""

    def __init__(self, attempt: int, feed: Feed) -> None:
        self.attempt = attempt
        self.feed = feed
        self.results: dict[str, NodeResult] = {}
        self.hooks: dict[str, NodeResult] = {}
        self.running: dict[str, str] = {}
        self.record: RunRecord | None = None
        self.trouble: DbtFlowError | None = None
        """What kept the log from being written, if anything did (a full disk)."""
        self.stopping = False
        self.sources: dict[str, int] = {}
        """Rows of the sources, where the warehouse says without counting."""
        self.afterwards = ""
        """Why rows could not be looked at once dbt had ended, if they could not."""
        self._planned: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def watch(self, planned: frozenset[str], record: RunRecord) -> None:
        """From now on note these nodes in that record; others (ephemerals, hooks) are not counted."""
        self._planned = planned
        self.record = record

    def begin(self, node: str, at: str | None = None) -> None:
        """A node is being built."""
        if node not in self._planned:
            return
        at = at or utc_text()
        with self._lock:
            self.running[node] = at
        self._log(lambda record: record.node_started(self.attempt, node, at))
        self.feed.tell("start", id=node, at=at)

    def end(self, result: NodeResult) -> None:
        """A node has ended. While the run is being stopped an error is what stopping looks like."""
        if self.stopping and result.status == "error":
            result = replace(result, status=CANCELLED, message="", reason="it was being built when the run was stopped")
        message, reason, compiled = redact.document([result.message, result.reason, result.compiled])
        step = self.record.step if self.record is not None else ""
        result = replace(result, attempt=self.attempt, step=step, message=message, reason=reason, compiled=compiled)
        if result.id not in self._planned:
            if result.id.startswith("operation."):
                self.hooks[result.id] = result
            return
        with self._lock:
            self.running.pop(result.id, None)
            self.results[result.id] = result
        self._log(lambda record: record.node_ended(self.attempt, result))
        self.feed.tell("end", **result.to_dict())
        with suppress(OSError, ValueError):
            sys.stdout.write(_line(result) + "\n")  # one write: several threads print
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """Something that happened to a node and is not its end, in a sentence: for the display and the task's own log."""
        (text,) = redact.document([text])
        self.feed.tell("phase", text=text)
        with suppress(OSError, ValueError):
            sys.stdout.write(f"{utc_text()} {text}\n")
            sys.stdout.flush()

    def enrich(self, node: str, changes: Mapping[str, Any]) -> None:
        """Add what is known only when dbt has ended: compiled SQL, rows."""
        with self._lock:
            if node in self.results:
                self.results[node] = replace(self.results[node], **redact.document(changes))

    def snapshot(self) -> tuple[dict[str, NodeResult], dict[str, str]]:
        """Results and running nodes as they are now."""
        with self._lock:
            return dict(self.results), dict(self.running)

    def _log(self, write: Any) -> None:
        if self.record is None:
            return
        try:
            write(self.record)
        except DbtFlowError as error:
            self.trouble = self.trouble or error
        except OSError as error:
            print(f"dbt-flow: the attempt's log cannot be written: {error}", file=sys.stderr)


def _line(result: NodeResult) -> str:
    note = f" ({result.failures} rows)" if result.failures else ""
    message = f": {result.message.splitlines()[0][:200]}" if result.message and not result.good else ""
    return f"{utc_text()} {result.status:<8} {result.seconds:7.2f}s {result.id}{note}{message}"
