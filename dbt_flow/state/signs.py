"""Signs of life, where runs are remembered by several machines: ``beats/<dag>/<run>/<attempt>[.<step>].json``.

Whether a process of this machine lives is asked of the system; of a container elsewhere nothing can be asked. So each attempt
writes, from its first moment, who it is and when it last lived; who settles a run takes the signs away. A run whose signs have
grown old has died without a word: its container was killed, evicted, or ran out of memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.records import RECORD_VERSION, utc_moment, utc_text
from dbt_flow.state.store import Store, get_json, put_json

EVERY = 30.0
"""Seconds between two signs."""
SILENT = 300.0
"""Seconds without a sign after which an attempt is dead: clocks differ, and S3 may be out of reach for a while."""
NEXT_WITHIN = 3600.0
"""Seconds that the next attempt, or the next step, may wait for a machine."""
UNHEARD = 24 * 3600.0
"""Seconds after which a run of another machine is taken for dead that has left no sign at all."""
_GIVES_UP = 10.0  # seconds that an attempt which has ended waits for a sign on its way


def shared(store: Store) -> bool:
    """Whether other machines remember here too."""
    return store is not store.local


class Heart:
    """Writes an attempt's signs, from a thread of its own, until it is stopped; nothing where one machine remembers alone."""

    def __init__(self, store: Store, key: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        """:param key: ``<dag>/<run>/<attempt>``; ``facts``, what is known of the run, for who settles it."""
        self._store, self._key, self._facts = store, f"beats/{key}.json", facts
        self._known: dict[str, Any] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="dbt-flow-heart", daemon=True)

    def start(self) -> None:
        """From here on it is known to live."""
        if shared(self._store):
            self._thread.start()

    def stop(self) -> None:
        """What comes now is the attempt's end."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_GIVES_UP)

    def left(self) -> None:
        """The attempt has ended; unless it has settled the run, something is to follow."""
        with suppress(DbtFlowError):
            if shared(self._store) and get_json(self._store, self._key) is not None:
                self._write(left=True)

    def _go_on(self) -> None:
        self._known = dict(self._facts())
        while not self._over.is_set():
            with suppress(DbtFlowError):  # the next one may be heard
                self._write(left=False)
            self._over.wait(EVERY)

    def _write(self, *, left: bool) -> None:
        put_json(self._store, self._key, {"version": RECORD_VERSION, **self._known, "at": utc_text(), "left": left})


def signs(store: Store, dag: str, number: str) -> list[dict[str, Any]]:
    """What the attempts of a run said last of themselves."""
    found = []
    for name in store.list(f"beats/{dag}/{number}") if shared(store) else ():
        with suppress(DbtFlowError):  # damaged: no sign
            sign = get_json(store, f"beats/{dag}/{number}/{name}")
            if isinstance(sign, dict) and sign.get("version") == RECORD_VERSION:
                found.append(sign)
    return sorted(found, key=lambda sign: str(sign.get("at")))


def lives(found: list[dict[str, Any]], began: str | None = None) -> bool:
    """Whether a run with these signs goes on: an attempt lives, or another one, or the next step, may still come.

    :param began: when it did, for one without any sign.
    """
    if not found:
        return began is not None and _age(began) <= UNHEARD
    if any(not sign.get("left") and _age(sign.get("at")) <= SILENT for sign in found):
        return True
    if any(not sign.get("left") and not sign.get("more") for sign in found):
        return False  # it died, and nothing tries it again
    return _age(found[-1].get("at")) <= NEXT_WITHIN


def dags_with_signs(store: Store) -> dict[str, str]:
    """The DAGs of which some run has left signs, each with a mark that is another when one more has."""
    return {dag: ",".join(store.list(f"beats/{dag}")) for dag in store.list("beats")} if shared(store) else {}


def runs_with_signs(store: Store, dag: str) -> list[str]:
    """Metaflow's ids of the runs of a DAG that have left signs and are not settled."""
    return store.list(f"beats/{dag}") if shared(store) else []


def forget_signs(store: Store, dag: str, number: str) -> None:
    """A settled run needs none."""
    if shared(store):
        with suppress(DbtFlowError):  # the next reader takes them away
            store.drop(f"beats/{dag}/{number}")


def _age(at: Any) -> float:
    """Seconds; endless for what is no time."""
    try:
        return (datetime.now(timezone.utc) - utc_moment(str(at))).total_seconds()
    except ValueError:
        return float("inf")
