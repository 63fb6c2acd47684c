"""The card while the run goes on: made in the task's own process, so that a refresh costs no process and no import."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

_FIRST, _EVERY = 1.0, 2.0  # seconds until the first live card, and between two
_CLOSE_WITHIN = 2.0  # seconds for the card that is being made
_SHARE = 0.04  # of one processor, at the most, for making live cards


class LiveCard:
    """A context in which ``make`` is called every few seconds, from a thread; rarer when it is slow. It may not raise."""

    def __init__(self, make: Callable[[], None], first: float = _FIRST) -> None:
        self._make = make
        self._first = first
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="dbt-flow-card", daemon=True)

    def __enter__(self) -> LiveCard:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """No further card, also none that is being made: a live card must not overwrite the final one."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_WITHIN)

    def _refresh(self) -> None:
        wait = self._first
        while not self._over.wait(wait):
            began = time.thread_time()
            self._make()
            wait = max(_EVERY, (time.thread_time() - began) / _SHARE)
