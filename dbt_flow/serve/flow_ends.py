"""Good ends of ML flows that this runtime did not start, as far as Metaflow's local metadata tells (:mod:`.local_metadata`).

Only flows whose end somebody waits for are looked at, and of each the newest runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from dbt_flow.records import SUCCESS
from dbt_flow.serve import local_metadata
from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.listeners import Listening
from dbt_flow.serve.outcomes import End, events_of
from dbt_flow.serve.watchman import KEPT
from dbt_flow.settings import Settings

_EVERY = 0.5


@dataclass
class FlowEnds:
    """Watches the runs of ML flows. :meth:`tick` is to be called outside transactions."""

    log: EventLog
    settings: Settings
    _flows: dict[str, str] = field(default_factory=dict)
    """Flow to the name of its last step."""
    _open: dict[str, set[str]] = field(default_factory=dict)
    _changed: dict[str, int] = field(default_factory=dict)
    _since: float = 0.0
    _looked: float = 0.0

    def begin(self, now: float) -> None:
        """Runs that were made before the log was are nobody's news."""
        self._since = float(self.log.cursor("began") or now)

    def listen(self, listening: Listening) -> None:
        """Those who listen have changed."""
        heard = {wait.event for subscriber in listening.subscribers for wait in subscriber.waits}
        flows = [subscriber for subscriber in listening.subscribers if subscriber.kind == "flow"]
        # Somebody may wait for it on another branch: the flow's name is what can be known beforehand.
        waited = {name.removesuffix(".end").rpartition(".")[2] for name in heard}
        self._flows = {subscriber.flow: subscriber.end for subscriber in flows if subscriber.flow in waited}
        self._changed = {}

    def tick(self, now: float) -> None:
        """Look for good ends."""
        if abs(now - self._looked) < _EVERY or not self._flows:
            return
        self._looked = now
        root = local_metadata.metaflow_root(self.settings.root)
        if root is None:
            return
        for flow, step in self._flows.items():
            self._look_for_runs(root, flow)
            for number in list(self._open.get(flow, ())):
                told = local_metadata.good_end(root, flow, number, step)
                if told is not None:
                    task, at = told
                    said = local_metadata.tags_of(root / flow / number) or (None, None)
                    with self.log.transaction():
                        for event in events_of(End(flow, number, SUCCESS, at, task, *said)):
                            self.log.add_event(event)
                    self._open[flow].discard(number)

    def _look_for_runs(self, root: Path, flow: str) -> None:
        try:
            changed = (root / flow).stat().st_mtime_ns
        except OSError:
            return
        if self._changed.get(flow) != changed:
            first = flow not in self._changed
            self._changed[flow] = changed
            known = self._open.get(flow, set())
            # What is old is not looked at again: the log may have forgotten that it was told.
            since = max(self._since, time.time() - KEPT / 2)
            recent = {number for number in local_metadata.newest(root, flow) if int(number) / 1e6 >= since}
            # A run that was looked at and told is in the log already: telling it again changes nothing.
            self._open[flow] = recent if first else (known | recent)
