"""One warm dbt: a single in-process ``dbt build`` of exactly the nodes that were decided, told node by node.

Seams in dbt (each guarded, each with a test in ``tests/run/test_seams.py``; what would replace it stands last):

=====================================  =========================================================  ==============================
what                                   why                                                        public replacement
=====================================  =========================================================  ==============================
``dbt.task.build.BuildTask``           ``dbt build`` looks the class up when it starts; ours is   a task class for dbtRunner
                                       put there for the time of one call
``BuildTask.get_graph_queue``          selection was made already: the queue is made of exactly   ``--select`` by unique id
                                       those ids; anything unexpected falls back to dbt's own
``BuildTask.compile_manifest``         the graph was linked already; its gates are drawn sparse,  a linked graph for
                                       with the same closure as dbt's (:mod:`dbt_flow.plan.gates`) dbtRunner
``GraphQueue._get_scores``, ``get``    what the longest path begins with starts first             an order for dbtRunner
``RunTask.run`` and                    a run that calls dbt several times runs each hook once       a flag that leaves hooks out
``RunTask.safe_run_hooks``             (:mod:`.hooks`)
``GraphRunnableTask._raise_next_tick``  no node is started after a run was told to stop           a cancel call on dbtRunner
``BuildTask.call_runner``              a node whose connection was cut is tried again              retries by node
                                       (:mod:`.tries`)
``open`` of the adapter's connections  each query says of which run and node it is                a query tag with a statement
                                       (:mod:`.labels`)
=====================================  =========================================================  ==============================
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import dbt.task.build
import networkx as nx
from dbt.adapters.factory import get_adapter
from dbt.cli.main import dbtRunner
from dbt.graph import Graph, GraphQueue

from dbt_flow.errors import DbtFlowError
from dbt_flow.plan.gates import sparse_gates
from dbt_flow.records import NodeResult
from dbt_flow.run import afterwards
from dbt_flow.run.ends import result_of, time_of
from dbt_flow.run.hooks import Hooks, with_hooks
from dbt_flow.run.labels import Labels, with_labels
from dbt_flow.run.recorder import Recorder
from dbt_flow.run.tries import Tries, with_tries

_DbtBuildTask = dbt.task.build.BuildTask

_CANCEL_WITHIN = 2.0  # seconds that the warehouse has to take back what is running
_CANCEL_EVERY = 0.1
_LOOK_WHETHER_STOPPED = 0.2  # seconds


@dataclass(frozen=True)
class Build:
    """What one call of dbt is asked to do."""

    manifest: Any
    """dbt's parsed manifest: the call pays no parse."""
    arguments: tuple[str, ...]
    """Flags for where, as whom and how quietly: project, profile, target, threads, target path."""
    selection: tuple[str, ...]
    """The selection as dbt's own flags, for the fallback."""
    nodes: frozenset[str]
    """The ids to build, ephemerals included."""
    whole: bool
    """True when ``nodes`` is all that the selection gives: only then may dbt fall back to selecting for itself."""
    vars: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()
    """The dbt project's folder, in which dbt must run."""
    graph: Any = None
    """dbt's linked graph, without edges for tests; None lets dbt link for itself."""
    ranks: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the longest path that begins with a node; the highest starts first. Empty: dbt's own order."""
    sample_rows: int = 0
    """How many rows of each failing test are kept for the card."""
    edges: tuple[tuple[str, str], ...] | None = None
    """All edges among ``nodes``, gates included, in place of ``graph``: for a call that builds a part of a run."""
    hooks: Hooks | None = None
    """For such a call: which hooks it runs. None: dbt runs them all."""
    label: Mapping[str, str] = field(default_factory=dict)
    """What the warehouse is told of each query: ``dag``, ``run``; see :mod:`.labels`."""
    query_page: str = ""
    """Where a query is shown, with ``{query}`` for its id; empty: where the warehouse itself shows it."""


@dataclass(frozen=True)
class Outcome:
    """What dbt itself said when it ended."""

    ok: bool
    error: BaseException | None
    run_results: dict[str, Any] | None
    """dbt's own ``run_results.json`` for this call."""
    surprises: tuple[str, ...] = ()
    """What made a seam fall back to dbt's own way."""


class Engine:
    """Runs one :class:`Build` at a time and can be told to stop from another thread."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._task: Any = None
        self._surprises: list[str] = []
        self._labels, self._tries = Labels({}), Tries(recorder.say, lambda: recorder.stopping, 0)
        self._open: Counter[str] = Counter()
        self._said: dict[str, str] = {}
        self._hearing = threading.Lock()

    def build(self, order: Build) -> Outcome:
        """Call dbt. It never raises for what dbt does: that is in the outcome and the recorder."""
        arguments = [
            *("build", "--no-write-json", "--cache-selected-only"),
            *order.arguments,
            *order.selection,
            *(("--vars", json.dumps(dict(order.vars))) if order.vars else ()),
        ]
        self._labels = Labels(order.label, order.query_page)
        self._tries = Tries(self.recorder.say, lambda: self.recorder.stopping, len(order.nodes))
        with _inside(order.folder), self._task_class(order):
            answer = dbtRunner(manifest=order.manifest, callbacks=[self._hear]).invoke(arguments)
            results = getattr(answer.result, "results", None) or ()
            for result in results:
                with suppress(AttributeError, TypeError, ValueError):
                    self._enrich(result)
            if results:
                self._look(order)
        self._task = None
        return Outcome(bool(answer.success), answer.exception, self._written(answer.result), tuple(self._surprises))

    def stop(self) -> None:
        """Take back what runs in the warehouse and let nothing new start; returns within about two seconds."""
        self.recorder.stopping = True
        task = self._task
        if task is None:
            return
        if hasattr(task, "_raise_next_tick"):
            task._raise_next_tick = KeyboardInterrupt()
        canceller = threading.Thread(target=_cancel_queries, args=(task, self.recorder.running), daemon=True)
        canceller.start()
        canceller.join(_CANCEL_WITHIN)

    def _look(self, order: Build) -> None:
        """Row counts and samples, while dbt's adapter is there; not when the run is being stopped."""
        task = self._task
        if task is not None and not self.recorder.stopping:
            stop = partial(_cancel_queries, task, {"afterwards": ""})
            afterwards.look(task.config, order.manifest, self.recorder, order.sample_rows, stop)
            if self.recorder.sources and self.recorder.record is not None:
                with suppress(DbtFlowError, OSError):
                    self.recorder.record.put("source_rows.json", self.recorder.sources)
            if self.recorder.afterwards:
                self._surprises.append(f"rows could not be looked at: {self.recorder.afterwards}")

    @contextmanager
    def _task_class(self, order: Build) -> Iterator[None]:
        engine = self
        task = _DbtBuildTask if order.hooks is None else with_hooks(_DbtBuildTask, order.hooks, alone=not order.nodes)
        task = with_tries(with_labels(task, self._labels), self._tries)

        class WarmBuildTask(task):  # type: ignore[misc, valid-type]
            """dbt's build task with a queue of exactly the nodes that were decided."""

            def compile_manifest(self) -> None:
                if order.edges is not None:
                    self.compiler.initialize()
                    self.graph = _exactly(order)
                    return
                if order.graph is not None:
                    try:
                        self.compiler.initialize()
                        self.graph = _gated(order.graph, self.manifest, order.nodes)
                        return
                    except Exception as error:
                        engine._surprises.append(f"the graph is dbt's own: {error!r}")
                super().compile_manifest()

            def get_graph_queue(self) -> Any:
                engine._task = self
                try:
                    return _queue_of(self, order)
                except Exception as error:
                    if not order.whole:
                        raise
                    engine._surprises.append(f"the queue is dbt's own: {error!r}")
                    return super().get_graph_queue()

        dbt.task.build.BuildTask = WarmBuildTask
        try:
            yield
        finally:
            dbt.task.build.BuildTask = _DbtBuildTask

    def _written(self, result: Any) -> dict[str, Any] | None:
        """The result as dbt itself writes it."""
        if not getattr(result, "results", None):
            return None
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "run_results.json"
                result.write(str(file))
                document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                return document
        except Exception as error:
            self._surprises.append(f"run_results.json is ours, not dbt's: {error!r}")
            return None

    def _hear(self, event: Any) -> None:
        """dbt's callback, on its worker threads; it must not raise."""
        try:
            name = event.info.name
            if name == "NodeStart":
                info = event.data.node_info
                if self._deeper(info.unique_id, 1) == 1:
                    self.recorder.begin(info.unique_id, time_of(info.node_started_at))
            elif name == "NodeFinished":
                if self._deeper(event.data.node_info.unique_id, -1) <= 0:
                    self.recorder.end(
                        self._with_cause(result_of(event.data.node_info, event.data.run_result, self._labels, self._tries))
                    )
            elif name == "GenericExceptionOnRun":
                with self._hearing:
                    self._said.setdefault(event.data.unique_id, _own_words(event.data.exc))
        except Exception as error:
            self._surprises.append(f"an event could not be read: {error!r}")

    def _deeper(self, node: str, by: int) -> int:
        """How many starts of a node have no end yet: dbt tells of each batch of a microbatch model as of the model itself."""
        with self._hearing:
            self._open[node] += by
            return self._open[node]

    def _with_cause(self, result: NodeResult) -> NodeResult:
        """Of a microbatch model dbt says ERROR, or how many batches are good; what the first bad batch said is added."""
        said = self._said.get(result.id)
        if said is None or not result.message.startswith(("ERROR", "PARTIAL SUCCESS")):
            return result
        return replace(result, message=said if result.message == "ERROR" else f"{result.message}: {said}")

    def _enrich(self, result: Any) -> None:
        """What only the result has: compiled SQL of what is not good, and the end of nodes whose event was missed."""
        node = result.node
        known = self.recorder.results.get(node.unique_id)
        if known is None:
            self.recorder.end(
                NodeResult(
                    id=node.unique_id,
                    status=str(getattr(result.status, "value", result.status)),
                    message=result.message or "",
                    seconds=float(result.execution_time or 0.0),
                    thread=result.thread_id or None,
                    failures=result.failures,
                )
            )
            known = self.recorder.results.get(node.unique_id)
        if known is not None and known.status not in ("success", "pass", "skipped", "no-op"):
            self.recorder.enrich(node.unique_id, {"compiled": getattr(node, "compiled_code", None)})


def _gated(linked: Any, manifest: Any, nodes: frozenset[str]) -> Any:
    """dbt's graph with the gates of the tests among ``nodes``; other tests have no say, as they do not run."""
    graph = linked.graph.copy()
    tests = {
        node: manifest.nodes[node].depends_on_nodes
        for node in nodes
        if node in manifest.nodes and manifest.nodes[node].resource_type == "test"
    }
    graph.add_edges_from(sparse_gates(graph, tests), edge_type="parent_test")
    return Graph(graph)


def _exactly(order: Build) -> Any:
    """dbt's kind of graph of what is to be built and nothing else; ``dbt build`` skips along its edges."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(sorted(order.nodes))
    graph.add_edges_from(edge for edge in order.edges or () if order.nodes.issuperset(edge))
    return Graph(graph)


def _queue_of(task: Any, order: Build) -> Any:
    """As ``BuildTask.get_graph_queue``, with the selection already made, and the longest path first."""
    tests = {node for node in order.nodes if node in task.manifest.unit_tests}
    task.selected_unit_tests = tests
    task.build_model_to_unit_test_map(tests)
    body = set(order.nodes) - tests
    missing = [node for node in body if node not in task.graph.graph]
    if missing:
        raise LookupError(f"{missing[0]} is not in dbt's graph")
    queue = GraphQueue if not order.ranks else _longest_first(order.ranks, task)
    return queue(task.graph.get_subset_graph(body).graph, task.manifest, body)


def _longest_first(ranks: Mapping[str, float], task: Any) -> Any:
    class LongestFirst(GraphQueue):  # type: ignore[misc]
        """dbt's queue, in which a lower score goes first; ephemerals, which cost nothing and hold others up, before all."""

        def _get_scores(self, graph: Any) -> dict[str, float]:
            return {node: -ranks.get(node, float("inf")) for node in graph}

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            """A node for a thread that is free. dbt hands every node that may start to its pool at once, which keeps their
            order: a long one that comes later would wait behind all of them."""
            with self.lock:
                while block and len(self.in_progress) >= task.config.threads and task._raise_next_tick is None:
                    self.some_task_done.wait(_LOOK_WHETHER_STOPPED)
            return super().get(block, timeout)

    return LongestFirst


def _own_words(text: str) -> str:
    """What dbt prefixes with which thread it was, without that."""
    return text.removeprefix("Exception on worker thread. ").strip()


def _cancel_queries(task: Any, running: Mapping[str, str]) -> None:
    """Cancel, and again while something runs: a node that has just started has not sent its query yet."""
    with suppress(Exception):  # the process ends next; what cannot be cancelled ends with it
        adapter = get_adapter(task.config)
        until = time.monotonic() + _CANCEL_WITHIN
        while adapter.is_cancelable() and running and time.monotonic() < until:
            with adapter.connection_named("dbt-flow-cancel"):
                list(adapter.cancel_open_connections())
            time.sleep(_CANCEL_EVERY)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
