"""Every private attribute of Metaflow that dbt-flow touches, in one place.

Each has a test in ``tests/flows/test_metaflow_seam.py`` that says which upstream change broke it.

=====================================  ============================================================  ===========================
what                                   why                                                           public replacement
=====================================  ============================================================  ===========================
``MutableFlow._flow_cls``              a DAG is a flow of its own in Metaflow's UI and Client: the   a flow name given by Config
                                       class is renamed after the DAG when the Config is known
``CardDatastore.save_card``            a task that raises gets no card from Metaflow, and a killed   a public call that stores
                                       one neither: the card is stored before, or instead            a card for a task
``FlowDataStore`` (constructor)        the card's store, also outside a task                         the same
=====================================  ============================================================  ===========================

This module is imported by processes that may never need Metaflow: it imports Metaflow inside its functions.
"""

from __future__ import annotations

import hashlib
from typing import Any

CARD_TYPE = "dbt_run"
"""The name under which the card is registered with Metaflow (``cards/metaflow_extensions``)."""


def rename_flow(mutable_flow: Any, name: str) -> None:
    """Give the flow that a mutator works on another name, before Metaflow uses it."""
    name_class(mutable_flow._flow_cls, name)


def name_class(flow: Any, name: str) -> None:
    """Name a FlowSpec class; ``resume`` looks the name up before mutators run, so the flow file also calls this at import."""
    flow.__name__ = flow.__qualname__ = name


class CardStore:
    """Metaflow's card datastore, as a writer of finished HTML.

    It is found once, where it is made: in a task, before anything changes the process's folder; elsewhere from the facts
    that a task left (:attr:`facts`).
    """

    def __init__(self, kind: str | None = None, root: str | None = None) -> None:
        from metaflow.datastore import FlowDataStore
        from metaflow.metaflow_config import CARD_SUFFIX, DEFAULT_DATASTORE
        from metaflow.plugins import DATASTORES

        if kind is None:
            storage = FlowDataStore.default_storage_impl
            kind = DEFAULT_DATASTORE if storage is None else storage.TYPE
        self._storage = next(storage for storage in DATASTORES if storage.TYPE == kind)
        if root is None:
            found = self._storage.datastore_root or self._storage.get_datastore_root_from_config(lambda *_, **__: None)
            root = f"{str(found).rstrip('/')}/{CARD_SUFFIX}"
        self.facts = {"kind": kind, "root": root}

    def save(self, task: str, html: str) -> None:
        """Store the card of a task (``CarrierRisk/12/end/3``), replacing the one stored before.

        :raises Exception: whatever Metaflow's datastore raises; the caller decides what a lost card costs.
        """
        from metaflow.datastore import FlowDataStore
        from metaflow.plugins.cards.card_datastore import CardDatastore

        flow_name = task.split("/", 1)[0]
        store = FlowDataStore(flow_name=flow_name, storage_impl=self._storage, ds_root=self.facts["root"])
        uuid = hashlib.sha1(task.encode(), usedforsecurity=False).hexdigest()
        CardDatastore(store, pathspec=task).save_card(uuid, CARD_TYPE, html, overwrite=True)
