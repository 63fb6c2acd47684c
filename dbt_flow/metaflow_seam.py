"""Every private attribute of Metaflow that dbt-flow touches, in one place.

Each has a test in ``tests/flows/test_metaflow_seam.py`` that says which upstream change broke it.

=====================================  ============================================================  ===========================
what                                   why                                                           public replacement
=====================================  ============================================================  ===========================
``MutableFlow._flow_cls``              a DAG is a flow of its own in Metaflow's UI and Client: the   a flow name given by Config
                                       class is renamed after the DAG when the Config is known; and   and a step added by a
                                       its steps are those of the plan, when models are isolated      mutator
``FlowGraph._traverse_graph``,         both go along every path of the graph: waves of 8, 8, 8 and 8  walks that note where
``FlowLinter._checks``                 steps are 4,096 of them, in every process; ours go once        they have been
``CardDatastore.save_card``            a task that raises gets no card from Metaflow, and a killed   a public call that stores
                                       one neither: the card is stored before, or instead            a card for a task
``FlowDataStore`` (constructor)        the card's store, also outside a task                         the same
``FlowSpec._flow_decorators``          what an ML flow listens to, for the local runtime             a call that lists triggers
``FlowSpec._get_parameters``           the parameters that an event may fill                         ``Flow(...).parameters``
``FlowSpec._graph``                    the name of a flow's last step, whose end is the flow's       the same
``current._update_env``                ``current.trigger`` in a local run, set as Metaflow's own     Metaflow filling it locally
                                       decorators set it (``plugins/dbt_flow_trigger.py``)
=====================================  ============================================================  ===========================

This module is imported by processes that may never need Metaflow: it imports Metaflow inside its functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

CARD_TYPE = "dbt_run"
"""The name under which the card is registered with Metaflow (``cards/metaflow_extensions``)."""


def rename_flow(mutable_flow: Any, name: str) -> None:
    """Give the flow that a mutator works on another name, before Metaflow uses it."""
    name_class(mutable_flow._flow_cls, name)


def name_class(flow: Any, name: str) -> None:
    """Name a FlowSpec class, or the one that a mutator has wrapped.

    ``resume`` looks the name up before mutators run, so the flow file also calls this at import.
    """
    flow = getattr(flow, "_flow_cls", flow)
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


def set_steps(mutable_flow: Any, methods: Mapping[str, Callable[..., None]]) -> None:
    """Give the flow that a mutator works on these steps, before Metaflow draws its graph."""
    for name, method in methods.items():
        setattr(mutable_flow._flow_cls, name, method)
    _walk_once()


def _walk_once() -> None:
    """Draw and check graphs in time linear in their size. For waves of steps (splits and joins, one after another) only.

    Checks that go along every path say of such a graph what its making has made sure of: it has no circle, and each split
    has its join.
    """
    from metaflow.graph import FlowGraph
    from metaflow.lint import linter

    FlowGraph._traverse_graph = _traverse
    slow = ("check_for_acyclicity", "check_split_join_balance")
    linter._checks = [check for check in linter._checks if check.__name__ not in slow]


def _traverse(graph: Any) -> None:
    """Metaflow's ``_traverse_graph``: the order of the steps, and for each the splits that it stands under."""
    waiting = dict.fromkeys(graph.nodes, 0)
    for node in graph.nodes.values():
        for name in node.out_funcs:
            if name in waiting:
                waiting[name] += 1
                graph[name].in_funcs.add(node.name)
    under: dict[str, tuple[list[str], list[str]]] = {graph.start_step: ([], [])}
    order, ready = [], [graph.start_step]
    while ready:
        node = graph[ready.pop()]
        order.append(node.name)
        parents, branches = under[node.name]
        splits = node.type == "split"
        node.split_parents, node.split_branches = parents, branches
        if node.type == "join" and parents:
            graph[parents[-1]].matching_join = node.name
            node.split_branches = branches = branches[:-1]
            parents = parents[:-1]
        for name in node.out_funcs:
            under[name] = ([*parents, node.name] if splits else parents, [*branches, name] if splits else branches)
            waiting[name] -= 1
            if not waiting[name]:
                ready.append(name)
    graph.sorted_nodes[:] = order
    for node in graph.nodes.values():
        node.in_funcs = sorted(node.in_funcs)


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
