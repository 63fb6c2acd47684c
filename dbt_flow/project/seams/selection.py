"""dbt's own selection, as its ``build`` command uses it."""

from __future__ import annotations

from typing import Any

from dbt.compilation import Linker
from dbt.graph import Graph
from dbt.task.build import BuildTask


def link(manifest: Any) -> Any:
    """dbt's graph of all that the manifest holds, without edges for tests.

    Those edges change no selection: dbt leaves them out of every ``+`` (``Graph.filter_edges_by_type``).

    :raises RuntimeError: dbt found a cycle.
    """
    linker = Linker()
    linker.link_graph(manifest)
    return Graph(linker.graph)


def selected_by_build(flags: Any, config: Any, manifest: Any, graph: Any) -> set[str]:
    """The ids that ``dbt build`` with these flags would put into its queue, unit tests included.

    :raises Exception: whatever dbt raises about the selection.
    """
    task = BuildTask(flags, config, manifest)
    task.graph = graph
    chosen: set[str] = task.get_node_selector().get_selected(task.get_selection_spec())
    # dbt runs a unit test just before its model (BuildTask.handle_job_queue), so without the model it never runs.
    units = manifest.unit_tests
    return {node for node in chosen if node not in units or units[node].depends_on.nodes[0] in chosen}
