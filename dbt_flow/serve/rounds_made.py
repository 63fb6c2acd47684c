"""Once a minute: who is late, what was never told, what still waits to be sent. The work is :mod:`dbt_flow.report.rounds`'."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timezone

from dbt_flow.errors import DbtFlowError
from dbt_flow.report.rounds import go_round
from dbt_flow.report.rules import rules_of
from dbt_flow.settings import Settings
from dbt_flow.spec import load_fleet
from dbt_flow.state.places import store_of

_EVERY = 60.0


class Rounds:
    """Made in a thread of its own, so that a slow disk keeps no event waiting; one at a time."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self.settings, self.say = settings, say
        self._made = 0.0
        self._thread: threading.Thread | None = None

    def tick(self, now: float) -> None:
        """Make a round, if it is time."""
        if abs(now - self._made) < _EVERY or (self._thread is not None and self._thread.is_alive()):
            return
        self._made = now
        self._thread = threading.Thread(target=self._round, args=(now,), name="dbt-flow-rounds", daemon=True)
        self._thread.start()

    def _round(self, now: float) -> None:
        try:
            known = [(rules_of(self.settings, dag), dag.target) for dag in load_fleet(self.settings).dags]
            for said in go_round(store_of(self.settings), known, datetime.fromtimestamp(now, timezone.utc)):
                self.say(said)
        except (DbtFlowError, OSError) as error:
            self.say(f"nobody could look who is late: {error}")
