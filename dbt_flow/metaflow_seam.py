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
``FlowSpec._flow_decorators``          what an ML flow listens to, for the local runtime             a call that lists triggers
``FlowSpec._get_parameters``           the parameters that an event may fill                         ``Flow(...).parameters``
``FlowSpec._graph``                    the name of a flow's last step, whose end is the flow's       the same
``current._update_env``                ``current.trigger`` in a local run (``plugins/dbt_flow_       Metaflow filling it in local
                                       trigger.py``, as Metaflow's own decorators set it)            runs too
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


def flow_facts(flow: Any) -> dict[str, Any]:
    """What a flow that Metaflow has checked says of its triggers, schedule, parameters and last step, as plain JSON values."""
    decorators = {name: list(found) for name, found in flow._flow_decorators.items()}
    for kind in ("trigger", "trigger_on_finish"):
        for decorator in decorators.get(kind, ()):
            decorator.format_deploytime_value()
    parameters = [parameter for _, parameter in flow._get_parameters() if not parameter.IS_CONFIG_PARAMETER]
    return {
        "flow": flow.name,
        "end": flow._graph.end_step,
        "trigger": [item for decorator in decorators.get("trigger", ()) for item in decorator.triggers],
        "trigger_on_finish": [item for decorator in decorators.get("trigger_on_finish", ()) for item in decorator.triggers],
        "schedule": [
            {"cron": decorator.schedule, "timezone": decorator.timezone}
            for decorator in decorators.get("schedule", ())
            if decorator.schedule
        ],
        "params": {
            parameter.name: {
                "type": getattr(parameter.kwargs.get("type"), "__name__", "str"),
                "required": bool(parameter.kwargs.get("required")) and parameter.kwargs.get("default") is None,
            }
            for parameter in parameters
        },
    }


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
        self._storage = next(storage for storage in DATASTORES if kind == storage.TYPE)
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
