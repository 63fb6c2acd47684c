"""A node whose connection was cut is built again, at once and within bounds, before dbt hears that it failed.

dbt itself never tries a node again. What is tried again: errors that say that the connection, and not the SQL or the data, was
at fault; on nodes that end the same however often they are built. A node that adds rows to what is there, or has hooks, is
left alone: its first try may have taken effect though its answer never came.

Seam, as in :mod:`.engine`: ``call_runner`` of dbt's task, and ``run_with_hooks`` of the runner that it is given, which is
called between the events of the node's start and end. What would replace it: retries by node in dbt.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import networkx as nx
from dbt.adapters.factory import get_adapter

MOST_OF_A_NODE = 3
"""Further tries of one node."""
FEWEST_OF_ALL = 10
"""Further tries of a call of dbt, of all nodes together: this many, or one for every two nodes where that is more."""
_FIRST_WAIT = 1.0  # seconds before the second try; twice as long before each further one

_PASSING: tuple[tuple[str, str], ...] = (
    # (what the message has, in words)
    (r"server closed the connection|terminating connection|connection (was )?(already )?closed|connection not open", "cut"),
    (r"ssl connection has been closed|ssl syscall error|could not (receive|send) data (from|to) server", "cut"),
    (r"connection reset|connection aborted|remote end closed|broken pipe|eof detected|read timed out", "cut"),
    (r"session no longer exists|session (has )?expired|\b390(104|111|112|114)\b", "ended by the warehouse"),
    (r"connection refused|could not connect to server|connection to server .* failed|max retries exceeded", "refused"),
    (r"\b(250003|250006)\b|\bhttp (429|500|502|503|504)\b|\b(429|502|503|504) (server|client) error", "refused"),
    (r"database system is (starting up|shutting down|in recovery mode|not yet accepting)", "refused: the server restarts"),
    (r"too many (clients|connections)|remaining connection slots", "refused: too many at once"),
    (r"deadlock detected|could not serialize access", "undone by a conflict with another one"),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), words) for pattern, words in _PASSING)
_FOR_GOOD = re.compile(r"password|authentication failed|incorrect username|permission denied|insufficient priv|pg_hba", re.I)
_ADDS_ROWS = frozenset({"append", "microbatch"})


def passing(message: str) -> str:
    """What happened to the connection, in words, where that may be all that was wrong; else empty."""
    start = message[:4000]
    if _FOR_GOOD.search(start):
        return ""
    return next((words for pattern, words in _PATTERNS if pattern.search(start)), "")


def may_repeat(node: Any) -> bool:
    """Whether a node ends the same when it is built twice."""
    kind = str(getattr(node.resource_type, "value", node.resource_type))
    config = node.config
    if getattr(config, "pre_hook", None) or getattr(config, "post_hook", None):
        return False
    if kind in ("test", "unit_test", "seed", "snapshot", "function"):
        return True
    if kind != "model":
        return False
    made = str(config.materialized)
    if made == "incremental":
        return bool(config.unique_key) and str(config.get("incremental_strategy") or "") not in _ADDS_ROWS
    return made in ("table", "view", "materialized_view", "dynamic_table")


class Tries:
    """Counts the further tries of one call of dbt."""

    def __init__(self, tell: Callable[[str], None], stopping: Callable[[], bool], nodes: int) -> None:
        """:param tell: hears of each further try, in a sentence. :param stopping: no further try once it says so."""
        self._tell, self._stopping = tell, stopping
        self._left = max(FEWEST_OF_ALL, nodes // 2)
        self._of: Counter[str] = Counter()
        self._why: dict[str, str] = {}
        self._lock = threading.Lock()

    def told(self, node: str) -> str:
        """What is to be said of a node that was tried again; else empty."""
        times = self._of[node]
        if not times:
            return ""
        return f"its connection was {self._why[node]}; tried again {'once' if times == 1 else f'{times} times'}"

    def wrap(self, runner: Any, recover: Callable[[], None]) -> None:
        """Let a runner of dbt's build its node again when that may be all that it takes.

        :param recover: makes what dbt believes of the warehouse true again; when that fails as well, it is a try.
        """
        once = runner.run_with_hooks

        def run(manifest: Any) -> Any:
            result = once(manifest)
            while self._again(runner.node, result):
                if _worked(recover):
                    result = once(manifest)
            return result

        if may_repeat(runner.node):
            runner.run_with_hooks = run

    def _again(self, node: Any, result: Any) -> bool:
        """Wait for the node's further try; False when there is none."""
        words = passing(str(result.message or "")) if str(getattr(result.status, "value", result.status)) == "error" else ""
        key = node.unique_id
        with self._lock:
            if not words or self._left <= 0 or self._of[key] >= MOST_OF_A_NODE or self._stopping():
                return False
            self._left -= 1
            self._of[key] += 1
            self._why[key] = words
            number = self._of[key]
        seconds = _FIRST_WAIT * 2 ** (number - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - so that not all come at once
        self._tell(f"{node.name}: its connection was {words}; try {number + 1} of {MOST_OF_A_NODE + 1} in {seconds:.1f} s")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._stopping():
                return False
            time.sleep(0.1)
        return True


def _worked(recover: Callable[[], None]) -> bool:
    try:
        recover()
    except Exception:  # cut again, or still refused
        return False
    return True


def with_tries(task: type[Any], tries: Tries) -> type[Any]:
    """A subclass of dbt's build task that tries nodes again."""

    class Patient(task):  # type: ignore[misc]
        def call_runner(self, runner: Any) -> Any:
            tries.wrap(runner, lambda: _recover(self, runner.node))
            return super().call_runner(runner)

    return Patient


def _recover(task: Any, node: Any) -> None:
    """Forget a dead connection, and what was rolled back with it: dbt's cache of relations holds that to be done.

    Looked at anew are the relations of the node, those that dbt makes on the way to it, and all that stands on it, which a
    ``drop ... cascade`` may have taken along; nothing of that is being built now.
    """
    adapter = get_adapter(task.config)
    _drop_connection(adapter.connections)
    nodes = task.manifest.nodes
    below = nx.descendants(task.graph.graph, node.unique_id) if node.unique_id in task.graph.graph else set()
    waiting = [nodes[key] for key in (node.unique_id, *below) if key in nodes and nodes[key].is_relational]
    names: dict[tuple[str, str], set[str]] = {}
    for one in waiting:
        relation = adapter.Relation.create_from(task.config, one)
        names.setdefault((relation.database, relation.schema), set()).add(str(relation.identifier).lower())
    with adapter.connection_named(f"dbt-flow again {node.name}"):
        for (database, schema), wanted in names.items():
            _look_again(adapter, database, schema, wanted)


def _look_again(adapter: Any, database: str, schema: str, wanted: set[str]) -> None:
    place = adapter.Relation.create(database=database, schema=schema, identifier="", quote_policy=adapter.config.quoting)
    there = [one for one in adapter.list_relations_without_caching(place.without_identifier()) if _one_of(one, wanted)]
    known = [one for one in adapter.cache.get_relations(database, schema) if _one_of(one, wanted)]
    facts = {_fact(one) for one in there}
    for one in known:
        if _fact(one) not in facts:
            adapter.cache.drop(one)
    believed = {_fact(one) for one in adapter.cache.get_relations(database, schema)}
    for one in there:
        if _fact(one) not in believed:
            adapter.cache.add(one)


def _fact(relation: Any) -> tuple[str, str]:
    return str(relation.identifier).lower(), str(getattr(relation.type, "value", relation.type))


def _one_of(relation: Any, wanted: set[str]) -> bool:
    """Whether it is one of the relations, or what dbt makes on the way to one: ``orders__dbt_tmp``."""
    return str(relation.identifier).lower().partition("__dbt_")[0] in wanted


def _drop_connection(manager: Any) -> None:
    """An adapter may keep a thread's connection, dead or not."""
    with suppress(Exception):  # what cannot be closed is closed already
        connection = manager.get_if_exists()
        if connection is not None:
            manager.close(connection)
            manager.clear_thread_connection()
