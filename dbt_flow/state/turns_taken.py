"""Turns that are taken one after the other by writers that know nothing of each other: ``awaited/<who>/<number>.json``.

A turn is written only where none stands, as the one after the turn that its writer has read. Of two that were taken from the
same one, the store lets one through; the other reads again. So turns are in one order for all, without a lock that a dead pod
could hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_flow.records import check_version
from dbt_flow.state.store import Store, encode, get_json

KEPT_DAYS = 30
"""Days for which a turn is kept; the last one always is."""
_CLEAR_EVERY = 50  # turns


class Turns:
    """The turns of one deployed DAG."""

    def __init__(self, store: Store, who: str) -> None:
        """:param who: a part of a key that is its own, as ``default/shop.prod.chained``."""
        self.store, self.folder = store, f"awaited/{who}"

    def last(self) -> tuple[int, Mapping[str, Any] | None]:
        """The number of the last turn, and its document; 0 and None before there is one.

        :raises StateError: it is damaged, or from a newer version.
        """
        for name in reversed(self.store.list(self.folder)):
            number = name.removesuffix(".json")
            if number.isdigit():
                key = f"{self.folder}/{name}"
                document = get_json(self.store, key)
                if document is not None:
                    check_version(document, key)
                    return int(number), document
        return 0, None

    def add(self, number: int, document: Mapping[str, Any]) -> bool:
        """Write turn ``number``; False when somebody has written it before."""
        written = self.store.put_if_absent(f"{self.folder}/{number:010d}.json", encode(document))
        if written and number % _CLEAR_EVERY == 0:
            # Who has read a turn of a month ago and writes only now has died since.
            for name in self.store.older(self.folder, KEPT_DAYS * 86_400.0):
                if name != f"{number:010d}.json":
                    self.store.drop(f"{self.folder}/{name}")
        return written

    def forget(self) -> None:
        """Drop them all."""
        self.store.drop(self.folder)
