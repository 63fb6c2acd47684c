"""What became of the data, written down for ``dbt-flow trace``: who read it, which model came of it, where that was deployed.

``reads/<Flow>/<run>.json``, ``models/<name>/<version>.json``, ``deployments/<name>/<version>.json`` in the state folder, each
written once. A training bears the digests of the receipts that it read, so what it stood on cannot be changed unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dbt_flow.errors import InputError
from dbt_flow.pipeline.receipt import revision_of
from dbt_flow.records import RECORD_VERSION, utc_text
from dbt_flow.settings import load_settings
from dbt_flow.state.places import store_of
from dbt_flow.state.store import Store, encode

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}\Z", re.ASCII)


def note_read(store: Store, run: str, task: str, pinned: Mapping[str, Any]) -> None:
    """A flow's run has chosen the receipts that it reads; with the git commit of its code."""
    git = revision_of(load_settings().root)
    document = {"version": RECORD_VERSION, "run": run, "task": task, "git": git, "at": utc_text(), **pinned}
    store.put(f"reads/{run}.json", encode(document))


def note_model(name: str, version: str, *, run: str, receipts: Mapping[str, str], **facts: Any) -> dict[str, Any]:
    """A flow has trained a model.

    :param run: the flow's run, ``TrainCarrierRisk/12``
    :param receipts: ``self.receipts.digests``
    :param facts: what else is to be known: metrics, kind
    """
    return _note("models", name, version, {"run": run, "receipts": dict(receipts), **facts})


def note_deployment(name: str, version: str, *, run: str, kind: str, **facts: Any) -> dict[str, Any]:
    """A model has gone live: ``kind`` is ``replace`` or ``variant``."""
    return _note("deployments", name, version, {"run": run, "kind": kind, **facts})


def _note(kind: str, name: str, version: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    for word in (name, version):
        if not _NAME.match(word):
            raise InputError(
                "bad-name", f"{word!r} cannot be the name or version of a model", hint="use letters, digits, . _ -"
            )
    document = {**facts, "version": RECORD_VERSION, "model": name, "model_version": version, "at": utc_text()}
    store_of(load_settings()).put_if_absent(f"{kind}/{name}/{version}.json", encode(document))
    return document
