"""Gates: which nodes wait for which tests, exactly as ``dbt build`` has it, in few edges.

dbt lets a node wait for a test when all that the test depends on lies above the node (``Linker.add_test_edges_1``, dbt's
default). It draws each such edge: a quarter of a million on 5,000 models. What follows from others is left out here; the
closure is the same. dbt's own sparse way (``--use-fast-test-edges``) is not used: it loses gates of tests with several parents.

Sets of nodes are integers, one bit for each place in a topological order: that is what makes this fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import networkx as nx

WAITING = frozenset({"model", "seed", "snapshot", "analysis", "operation", "sql_operation"})
"""The types that dbt lets wait for tests (what ``manifest.nodes`` holds besides tests). Functions, exposures and saved
queries wait only where a model stands between."""


def type_of(node: str) -> str:
    """The resource type in a ``unique_id``; dbt itself tells tests by ``startswith("test.")``."""
    return node.partition(".")[0]


def sparse_gates(graph: nx.DiGraph[str], tests: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
    """Edges from tests to nodes with the same closure as those of ``dbt build``, over the whole graph of a manifest.

    :param graph: dbt's graph without edges for tests.
    :param tests: each data test with the ids that it depends on.
    """
    return gates_in(graph, tests, lambda node: type_of(node) in WAITING)


def gates_in(graph: nx.DiGraph[str], tests: Mapping[str, Iterable[str]], waits: Callable[[str], bool]) -> list[tuple[str, str]]:
    """As :func:`sparse_gates`, for nodes of which ``waits`` is true."""
    bodies = graph.subgraph([node for node in graph if node not in tests and type_of(node) != "test"])
    order = list(nx.topological_sort(bodies))
    place = {node: index for index, node in enumerate(order)}
    below = reach(order, place, bodies)
    waiting = sum(1 << index for index, node in enumerate(order) if waits(node))
    first: dict[frozenset[str], tuple[str, ...]] = {}
    found = []
    for test, parents in tests.items():
        key = frozenset(parents)
        if key not in first:
            first[key] = tuple(_first_below(key, place, below, waiting, order))
        found += [(test, node) for node in first[key]]
    return found


def reach(order: list[str], place: Mapping[str, int], graph: nx.DiGraph[str]) -> list[int]:
    """For each place in ``order``, the set of places that lie below it."""
    below = [0] * len(order)
    for index in range(len(order) - 1, -1, -1):
        found = 0
        for child in graph.successors(order[index]):
            there = place[child]
            found |= below[there] | (1 << there)
        below[index] = found
    return below


def _first_below(
    parents: frozenset[str], place: Mapping[str, int], below: list[int], waiting: int, order: list[str]
) -> Iterator[str]:
    """The waiting nodes below all of ``parents`` that are below no other such node."""
    if not parents or not all(parent in place for parent in parents):
        return
    left = waiting
    for parent in parents:
        left &= below[place[parent]]
    while left:
        index = (left & -left).bit_length() - 1
        yield order[index]
        left &= ~(below[index] | (1 << index))
