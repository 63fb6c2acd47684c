"""What was applied, and who is at it: one document for each scheduler and space, and a claim that one person at a time holds.

Claims are numbered documents, ``applies/000012.json``, each written once by whoever is first, so of many people one wins; a
claim that is not released and whose holder is gone (a dead process of this machine, or unheard of for long) is passed over.
They are kept: they say who applied what, and when.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import psutil

from dbt_flow.deploy.nouns import Applied, Space
from dbt_flow.errors import StateError
from dbt_flow.records import check_version, utc_moment, utc_text
from dbt_flow.state.store import Store, encode, get_json, put_json

VERSION = 1
UNHEARD = 15 * 60.0
"""Seconds after which a holder on another machine is taken for gone: it is heard before each flow, and none takes as long."""
_KEPT = 100


@dataclass
class Ledger:
    """The documents of one scheduler and space."""

    store: Store
    scheduler: str
    space: Space
    _claim: str | None = field(default=None, repr=False)

    @property
    def folder(self) -> str:
        """Where in the store they are."""
        return f"deployments/{self.scheduler}/{self.space.project}/{self.space.name}"

    def applied(self) -> dict[str, Applied]:
        """What was applied, by flow.

        :raises StateError: a newer dbt-flow wrote it, or it is damaged.
        """
        document = get_json(self.store, f"{self.folder}/applied.json") or {}
        check_version(document, f"{self.folder}/applied.json")
        return {flow: Applied.from_dict(one) for flow, one in document.get("flows", {}).items()}

    def keep(self, flows: Mapping[str, Applied]) -> None:
        """Write what is applied now."""
        document = {"version": VERSION, "at": utc_text(), "flows": {name: flows[name].to_dict() for name in sorted(flows)}}
        put_json(self.store, f"{self.folder}/applied.json", document)

    @contextmanager
    def held(self, what: str) -> Iterator[None]:
        """Hold the claim while the block goes on; what a second person gets is told at once.

        :raises StateError: ``deploy-locked``, with who, where and since when.
        """
        names = [name for name in self.store.list(f"{self.folder}/applies") if name.endswith(".json")]
        last = names[-1] if names else None
        if last is not None:
            self._refuse_if_held(get_json(self.store, f"{self.folder}/applies/{last}") or {})
        number = int(last.removesuffix(".json")) + 1 if last else 1
        key = f"{self.folder}/applies/{number:06d}.json"
        facts = {"version": VERSION, "what": what, **whoami(), "began": utc_text(), "heard": utc_text()}
        if not self.store.put_if_absent(key, encode(facts)):
            self._refuse_if_held(get_json(self.store, key) or {})
            raise self._locked(get_json(self.store, key) or {})
        self._claim = key
        try:
            yield
        finally:
            self._claim = None
            put_json(self.store, key, {**(get_json(self.store, key) or facts), "ended": utc_text()})
            for name in names[:-_KEPT]:
                self.store.drop(f"{self.folder}/applies/{name}")

    def say(self, doing: str) -> None:
        """Tell others that the holder is alive, and at what."""
        if self._claim:
            put_json(
                self.store, self._claim, {**(get_json(self.store, self._claim) or {}), "heard": utc_text(), "doing": doing}
            )

    def _refuse_if_held(self, claim: Mapping[str, Any]) -> None:
        if claim and "ended" not in claim and not _gone(claim):
            raise self._locked(claim)

    def _locked(self, claim: Mapping[str, Any]) -> StateError:
        doing = f", at {claim['doing']}" if claim.get("doing") else ""
        who = f"{claim.get('who')} on {claim.get('host')} (process {claim.get('pid')})"
        message = f"{who} is applying to {self.scheduler}, {self.space.name}, since {claim.get('began')}{doing}"
        hint = (
            f"wait for it and plan again; one that is dead is passed over, on another machine after {UNHEARD / 60:.0f} minutes"
        )
        return StateError("deploy-locked", message, hint=hint)


def _gone(claim: Mapping[str, Any]) -> bool:
    if claim.get("host") == socket.gethostname():
        try:
            born = psutil.Process(int(claim.get("pid") or 0)).create_time()
        except (psutil.Error, ValueError):
            return True
        return abs(born - float(claim.get("born") or 0)) > 2  # the number may be another process's by now
    try:
        heard = utc_moment(str(claim.get("heard")))
    except ValueError:
        return True
    return (datetime.now(timezone.utc) - heard).total_seconds() > UNHEARD


def whoami() -> dict[str, Any]:
    """This process, for others to read."""
    try:
        who = os.environ.get("METAFLOW_USER") or getpass.getuser()
    except (KeyError, OSError):
        who = f"user{os.getuid()}"
    return {"who": who, "host": socket.gethostname(), "pid": os.getpid(), "born": psutil.Process().create_time()}
