"""One test for each row of the table in ``dbt_flow/run/engine.py``: what of dbt is used, and what must be true of it.

When one of these fails after an upgrade of dbt, the message says which change broke which seam.
"""

from __future__ import annotations

import inspect
import re

import dbt.task.build
import networkx as nx
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli import main as dbt_main
from dbt.compilation import Compiler
from dbt.events.types import NodeFinished, NodeStart
from dbt.graph import Graph, GraphQueue
from dbt.task.build import BuildTask
from dbt.task.runnable import GraphRunnableTask


def test_dbt_build_looks_its_task_class_up_when_it_is_called() -> None:
    source = inspect.getsource(dbt_main)
    assert "from dbt.task.build import BuildTask" in source, "dbt build no longer takes BuildTask from dbt.task.build"
    at_import = [line for line in source.splitlines() if "import BuildTask" in line and not line.startswith(" ")]
    assert not at_import, "dbt.cli.main imports BuildTask when it is loaded: putting ours there for one call has no effect"
    assert dbt.task.build.BuildTask is BuildTask


def test_get_graph_queue_is_still_the_place_of_selection() -> None:
    assert list(inspect.signature(BuildTask.get_graph_queue).parameters) == ["self"]
    for name in ("selected_unit_tests", "build_model_to_unit_test_map"):
        assert name in inspect.getsource(dbt.task.build), (
            f"BuildTask has no {name}: unit tests would not run before their models"
        )
    assert list(inspect.signature(BuildTask.build_model_to_unit_test_map).parameters) == ["self", "selected_unit_tests"]
    assert "get_graph_queue" in inspect.getsource(GraphRunnableTask._runtime_initialize), "dbt makes its queue elsewhere"


def test_compile_manifest_sets_the_graph() -> None:
    assert list(inspect.signature(BuildTask.compile_manifest).parameters) == ["self"]
    source = inspect.getsource(BuildTask.compile_manifest)
    assert re.search(r"self\.graph(: Graph)? = self\.compiler\.compile", source), "compile_manifest no longer sets self.graph"
    assert "compile_manifest" in inspect.getsource(GraphRunnableTask._runtime_initialize)
    assert callable(Compiler.initialize), "Compiler.initialize is gone"


def test_a_graph_queue_takes_a_graph_a_manifest_and_the_selected_ids() -> None:
    assert list(inspect.signature(GraphQueue.__init__).parameters)[:4] == ["self", "graph", "manifest", "selected"]
    graph = Graph(nx.DiGraph([("a", "b"), ("b", "c")]))
    assert set(graph.get_subset_graph({"a", "c"}).graph.edges) == {("a", "c")}, "get_subset_graph must keep paths"


def test_a_queue_asks_get_scores_which_node_starts_first() -> None:
    assert list(inspect.signature(GraphQueue._get_scores).parameters) == ["self", "graph"]
    assert "_get_scores" in inspect.getsource(GraphQueue.__init__), "scores are computed elsewhere"


def test_a_queue_hands_nodes_out_by_get_and_tells_when_one_has_ended() -> None:
    assert list(inspect.signature(GraphQueue.get).parameters) == ["self", "block", "timeout"]
    assert "self.job_queue.get()" in inspect.getsource(BuildTask.handle_job_queue)
    done = inspect.getsource(GraphQueue.mark_done)
    assert "self.in_progress.remove" in done and "self.some_task_done.notify_all" in done, "who waits would wait for ever"
    assert "threading.Condition(self.lock)" in inspect.getsource(GraphQueue.__init__)


def test_raise_next_tick_ends_a_run_between_two_nodes() -> None:
    source = inspect.getsource(GraphRunnableTask)
    assert "raise self._raise_next_tick" in source, "a stopped run would start further nodes"
    assert "self._raise_next_tick" in inspect.getsource(GraphRunnableTask.__init__), (
        "it is no longer an attribute from the start"
    )


def test_events_have_the_fields_that_are_read() -> None:
    finished = NodeFinished(node_info={"unique_id": "model.shop.a"}, run_result={"status": "success"})
    for field in ("unique_id", "resource_type", "node_started_at", "node_finished_at"):
        assert hasattr(finished.node_info, field), f"NodeInfo has no {field}"
    for field in ("status", "message", "execution_time", "thread", "num_failures", "adapter_response"):
        assert hasattr(finished.run_result, field), f"RunResultMsg has no {field}"
    assert NodeStart(node_info={"unique_id": "model.shop.a"}).node_info.unique_id == "model.shop.a"
    assert (type(finished).__name__, NodeStart.__name__) == ("NodeFinished", "NodeStart")


def test_dbt_duckdb_can_be_told_to_close_the_file() -> None:
    assert callable(DuckDBConnectionManager.close_all_connections), "the file stays open after the lock is dropped"
    assert callable(DuckDBConnectionManager.env)
