"""dbt's own selection, as its ``build`` command uses it."""

from __future__ import annotations

from typing import Any

import networkx as nx
from dbt.compilation import Linker
from dbt.graph import Graph, ResourceTypeSelector
from dbt.node_types import NodeType
from dbt.task.build import BuildTask


class _Linker(Linker):  # type: ignore[misc]
    """dbt's, which looks for a cycle edge by edge; that there is none is told faster by an order of nodes."""

    def find_cycles(self) -> Any:
        return None if nx.is_directed_acyclic_graph(self.graph) else super().find_cycles()


def link(manifest: Any) -> Any:
    """dbt's graph of all that the manifest holds, without edges for tests.

    Those edges change no selection: dbt leaves them out of every ``+`` (``Graph.filter_edges_by_type``).

    :raises RuntimeError: dbt found a cycle.
    """
    linker = _Linker()
    linker.link_graph(manifest)
    return Graph(linker.graph)


def selected_by_build(flags: Any, config: Any, manifest: Any, graph: Any, kept: dict[str, Any] | None = None) -> set[str]:
    """The ids that ``dbt build`` with these flags would put into its queue, unit tests included.

    :param kept: what the selections of one manifest share: dbt's selector, whose making costs as much as a selection.
    :raises Exception: whatever dbt raises about the selection.
    """
    task = BuildTask(flags, config, manifest)
    task.graph = graph
    if kept is None or task.previous_state is not None:
        kept = {}
    kinds = str((flags.RESOURCE_TYPES, flags.EXCLUDE_RESOURCE_TYPES))
    if kinds not in kept:
        kept[kinds] = task.get_node_selector()
    chosen: set[str] = kept[kinds].get_selected(task.get_selection_spec())
    # dbt runs a unit test just before its model (BuildTask.handle_job_queue), so without the model it never runs.
    units = manifest.unit_tests
    return {node for node in chosen if node not in units or units[node].depends_on.nodes[0] in chosen}


def selected_sources(flags: Any, config: Any, manifest: Any, graph: Any) -> set[str]:
    """The ids of the sources that these flags select, with a freshness or without: ``dbt source freshness`` leaves those out.

    :raises Exception: whatever dbt raises about the selection.
    """
    spec = BuildTask(flags, config, manifest).get_selection_spec()
    kinds = [NodeType.Source]
    chosen: set[str] = ResourceTypeSelector(
        graph=graph, manifest=manifest, previous_state=None, resource_types=kinds
    ).get_selected(spec)
    return chosen
