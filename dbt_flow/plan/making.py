"""``make_plan()``: from dbt's facts of a selection to the plan, in the order of ``dbt build``.

dbt builds the graph of a selection in three moves: all of the manifest, with edges for tests; then what is not selected is
taken out and every path through it kept; then a unit test is run just before its model. The same three moves are made here,
on the whole graph, so that a gate through an unselected model is a gate still.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx

from dbt_flow.plan.gates import WAITING, gates_in, type_of
from dbt_flow.plan.planned import Plan
from dbt_flow.plan.step_cuts import make_steps
from dbt_flow.records import TEST_TYPES, Facts, Node, Target


def make_plan(dag_name: str, project_name: str, target: Target, facts: Facts, *, vars: Mapping[str, Any] | None = None) -> Plan:
    """The plan of a selection: nodes in topological order, edges, gates and steps."""
    planned = {node.id: node for node in facts.nodes}
    whole, tests = _whole(_region(facts.parents, planned), planned)
    whole.add_edges_from(gates_in(whole, tests, lambda node: type_of(node) in WAITING or type_of(node) == "unit_test"))
    arrows = _arrows(whole, planned)
    order = _order(planned, arrows, whole)
    nodes = tuple(planned[key] for key in order)
    edges = tuple((a, b) for b in order for a in arrows[b] if planned[a].type not in TEST_TYPES)
    gates = tuple((a, b) for b in order for a in arrows[b] if planned[a].type in TEST_TYPES)
    return Plan(
        dag=dag_name,
        project=project_name,
        target=target.name,
        adapter=target.adapter,
        nodes=nodes,
        edges=edges,
        gates=gates,
        steps=make_steps(nodes, edges, gates),
        inlined=facts.inlined,
        surroundings=facts.surroundings,
        vars=dict(vars) if vars else None,
    )


def _region(parents: Mapping[str, tuple[str, ...]], planned: Mapping[str, Node]) -> dict[str, tuple[str, ...]]:
    """The part of dbt's graph that has a say in a plan: what is planned, what planned tests read, and all that lies between.

    A path or a gate between two planned nodes runs through nothing else; a small DAG of a large project is planned in the
    time of a small one.
    """
    ends = {*planned, *(parent for node in planned.values() if node.is_test for parent in parents[node.id])}
    above = _reached(ends, parents)
    children: dict[str, list[str]] = {}
    for key in above:
        for parent in parents.get(key, ()):
            children.setdefault(parent, []).append(key)
    kept = _reached(ends, children)
    return {key: tuple(parent for parent in parents.get(key, ()) if parent in kept) for key in sorted(kept)}


def _reached(ends: set[str], onward: Mapping[str, Sequence[str]]) -> set[str]:
    """``ends``, and all that is reached from them."""
    found: set[str] = set()
    waiting = list(ends)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += onward.get(key, ())
    return found


def _whole(
    parents: Mapping[str, tuple[str, ...]], planned: Mapping[str, Node]
) -> tuple[nx.DiGraph[str], dict[str, tuple[str, ...]]]:
    """dbt's whole graph with planned unit tests before their models, and the planned data tests with their parents.

    Tests that are not planned are left out: nothing in the graph follows from them.
    """
    whole: nx.DiGraph[str] = nx.DiGraph()
    whole.add_nodes_from(key for key in sorted(parents) if type_of(key) not in TEST_TYPES or key in planned)
    for child, its_parents in parents.items():
        if child in whole and type_of(child) != "unit_test":
            whole.add_edges_from((parent, child) for parent in its_parents)
    for unit in [key for key in whole if type_of(key) == "unit_test"]:
        model = parents[unit][0]  # the one node that a unit test depends on (dbt.parser.unit_tests)
        whole.add_edges_from((parent, unit) for parent in list(whole.predecessors(model)) if type_of(parent) != "unit_test")
        whole.add_edge(unit, model)
    return whole, {key: parents[key] for key in whole if type_of(key) == "test"}


def _arrows(whole: nx.DiGraph[str], planned: Mapping[str, Node]) -> dict[str, list[str]]:
    """For each planned node the planned nodes that it waits for, through all that is not planned.

    An edge that stands in dbt's graph is kept. One that stands for a path is left out when other edges say as much, and a gate
    when edges and other gates do: edges alone must still tell where the data goes.
    """
    order = list(nx.topological_sort(whole))
    keys = [key for key in order if key in planned]
    place = {key: index for index, key in enumerate(keys)}
    tests = sum(1 << index for index, key in enumerate(keys) if planned[key].type in TEST_TYPES)
    near: dict[str, int] = {}
    data_above, all_above = [0] * len(keys), [0] * len(keys)
    arrows: dict[str, list[str]] = {}
    for key in order:
        paths, direct = 0, 0
        for parent in whole.predecessors(key):
            if parent in place:
                direct |= 1 << place[parent]
            else:
                paths |= near[parent]
        if key not in place:
            near[key] = paths | direct
            continue
        kept, data, every, left = [], 0, 0, paths | direct
        while left:  # from the last in the order, so that what implies another comes before it
            index = left.bit_length() - 1
            bit = 1 << index
            left ^= bit
            implied = every & bit if tests & bit else data & bit and not direct & bit
            if not implied:
                kept.append(keys[index])
            every |= all_above[index] | bit
            if not tests & bit:
                data |= data_above[index] | bit
        data_above[place[key]], all_above[place[key]] = data, every
        arrows[key] = kept[::-1]
    return arrows


def _order(planned: Mapping[str, Node], arrows: Mapping[str, list[str]], whole: nx.DiGraph[str]) -> list[str]:
    """A topological order that is the same every time: level by level, tests right after what they test.

    A test of two models stands on one of them (dbt's attached node). Where the graph leaves it free, that one comes after
    the other, so that the test falls into its step.
    """
    bodies = nx.subgraph_view(whole, filter_node=lambda key: type_of(key) not in TEST_TYPES)
    order = list(nx.topological_sort(bodies))
    depth: dict[str, int] = {}
    for key in order:
        depth[key] = 1 + max((depth[parent] for parent in bodies.predecessors(key)), default=0)
    others: dict[str, int] = {}
    for node in planned.values():
        if node.type == "test" and node.tests:
            beside = (depth[parent] + 1 for parent in node.parents if parent != node.tests)
            others[node.tests] = max(others.get(node.tests, 0), *beside, 0)
    level: dict[str, int] = {}
    for key in order:
        level[key] = max(others.get(key, 0), 1 + max((level[parent] for parent in bodies.predecessors(key)), default=0))
    rank = {key: place for place, key in enumerate(sorted(order, key=lambda key: (level[key], key)))}
    final: nx.DiGraph[str] = nx.DiGraph()
    final.add_nodes_from(sorted(planned))
    final.add_edges_from((parent, key) for key, its in arrows.items() for parent in its)
    place = {
        key: rank[key] if key in rank else max((rank[parent] for parent in node.parents), default=0)
        for key, node in planned.items()
    }
    return list(nx.lexicographical_topological_sort(final, key=lambda key: (place[key], key)))
