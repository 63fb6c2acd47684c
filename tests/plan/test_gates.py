"""Gates against the definition that dbt gives of them, written down naively, on random graphs of every kind of node."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_flow.plan.gates import sparse_gates, type_of
from dbt_flow.plan.making import make_plan
from dbt_flow.records import Facts, Node, Target

BODIES = ("model", "model", "model", "seed", "snapshot", "source", "function", "semantic_model")
WAITING = ("model", "seed", "snapshot", "analysis", "operation", "sql_operation")
"""All that stands in ``manifest.nodes`` but tests: what dbt's linker lets wait."""
TARGET = Target("dev", "duckdb", "main")


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Every id with its parents: bodies on bodies, then tests, unit tests and exposures on them."""
    parents: dict[str, tuple[str, ...]] = {}
    bodies: list[str] = []
    for index in range(draw(st.integers(1, 9))):
        key = f"{draw(st.sampled_from(BODIES))}.p.b{index}"
        above = draw(st.lists(st.sampled_from(bodies), max_size=3, unique=True)) if bodies else []
        parents[key] = () if type_of(key) in ("source", "seed") else tuple(above)
        bodies.append(key)
    models = [key for key in bodies if type_of(key) == "model"]
    for index in range(draw(st.integers(0, 6))):
        parents[f"test.p.t{index}.h"] = tuple(draw(st.lists(st.sampled_from(bodies), max_size=3, unique=True)))
    for index in range(draw(st.integers(0, 3)) if models else 0):
        parents[f"unit_test.p.u{index}"] = (draw(st.sampled_from(models)),)
    for index in range(draw(st.integers(0, 2))):
        parents[f"exposure.p.e{index}"] = tuple(draw(st.lists(st.sampled_from(bodies), min_size=1, max_size=2, unique=True)))
    return parents


def graph_of(parents: dict[str, tuple[str, ...]]) -> nx.DiGraph[str]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(parents)
    graph.add_edges_from((above, key) for key, its in parents.items() for above in its)
    return graph


def by_definition(graph: nx.DiGraph[str], parents: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    """``Linker.add_test_edges_1``: a waiting node waits for each test all of whose parents lie above it."""
    found = set()
    for node in graph:
        if type_of(node) in WAITING:
            above = nx.ancestors(graph, node)
            found |= {(test, node) for test, its in parents.items() if type_of(test) == "test" and its and set(its) <= above}
    return found


def closure(graph: nx.DiGraph[str], keep: set[str]) -> set[tuple[str, str]]:
    return {(above, below) for above in keep for below in nx.descendants(graph, above) if below in keep}


@settings(max_examples=150, deadline=None)
@given(manifests())
def test_the_few_edges_say_as_much_as_all_of_them(parents: dict[str, tuple[str, ...]]) -> None:
    graph = graph_of(parents)
    tests = {key: its for key, its in parents.items() if type_of(key) == "test"}
    all_of_them, few = graph.copy(), graph.copy()
    all_of_them.add_edges_from(by_definition(graph, parents))
    few.add_edges_from(sparse_gates(graph, tests))
    assert closure(few, set(graph)) == closure(all_of_them, set(graph))


@settings(max_examples=150, deadline=None)
@given(manifests(), st.data())
def test_a_plan_of_any_selection_keeps_every_wait_and_adds_none(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    graph = graph_of(parents)
    able = sorted(key for key in graph if type_of(key) not in ("source", "semantic_model"))
    chosen = set(data.draw(st.lists(st.sampled_from(able), unique=True))) if able else set()
    inlined = {key for key in chosen if type_of(key) == "model" and data.draw(st.booleans())}
    chosen = {key for key in chosen if type_of(key) != "unit_test" or parents[key][0] in chosen}
    planned = chosen - inlined
    plan = make_plan("dag", "p", TARGET, facts_of(parents, planned, inlined))

    whole = graph.copy()
    whole.add_edges_from(by_definition(graph, parents))
    for unit in [key for key in whole if type_of(key) == "unit_test"]:  # dbt runs it when its model is ready, and before it
        model = parents[unit][0]
        whole.remove_edge(model, unit)
        if unit in planned:
            whole.add_edges_from((above, unit) for above in list(whole.predecessors(model)) if type_of(above) != "unit_test")
            whole.add_edge(unit, model)
    mine: nx.DiGraph[str] = nx.DiGraph()
    mine.add_nodes_from(planned)
    mine.add_edges_from((*plan.edges, *plan.gates))
    assert closure(mine, planned) == closure(whole, planned)
    check_shape(plan, planned)


def facts_of(parents: dict[str, tuple[str, ...]], planned: set[str], inlined: set[str]) -> Facts:
    def node(key: str) -> Node:
        kind = type_of(key)
        tests = parents[key][-1] if kind in ("test", "unit_test") and parents[key] else None
        return Node(key, kind, key.split(".")[2], "p", "x.sql", parents[key], tests=tests, inlined=key in inlined)

    return Facts(tuple(map(node, sorted(planned))), tuple(map(node, sorted(inlined))), (), parents)


def check_shape(plan: object, planned: set[str]) -> None:
    """What holds for every plan: an order, each node in one step, each step after those that it needs."""
    from dbt_flow.plan.planned import Plan  # noqa: PLC0415

    assert isinstance(plan, Plan)
    order = {node.id: place for place, node in enumerate(plan.nodes)}
    assert set(order) == planned
    assert all(order[above] < order[below] for above, below in (*plan.edges, *plan.gates))
    assert all(type_of(above) not in ("test", "unit_test") for above, _ in plan.edges)
    assert all(type_of(above) in ("test", "unit_test") for above, _ in plan.gates)
    assert sorted(key for step in plan.steps for key in step.nodes) == sorted(planned)
    holder = {key: step.name for step in plan.steps for key in step.nodes}
    before: set[str] = set()
    for step in plan.steps:
        assert step.name not in before
        assert set(step.needs) <= before
        before.add(step.name)
    needs = {step.name: set(step.needs) for step in plan.steps}
    for above, below in (*plan.edges, *plan.gates):
        assert holder[above] == holder[below] or holder[above] in needs[holder[below]]


def test_a_gate_through_an_unselected_model_is_a_gate_still() -> None:
    parents = {"model.p.a": (), "model.p.b": ("model.p.a",), "model.p.c": ("model.p.b",), "test.p.t.h": ("model.p.a",)}
    plan = make_plan("dag", "p", TARGET, facts_of(parents, {"model.p.a", "model.p.c", "test.p.t.h"}, set()))
    assert plan.edges == (("model.p.a", "test.p.t.h"), ("model.p.a", "model.p.c"))
    assert plan.gates == (("test.p.t.h", "model.p.c"),)


def test_a_unit_test_gates_its_model_and_is_gated_like_it() -> None:
    parents = {
        "model.p.a": (),
        "test.p.t.h": ("model.p.a",),
        "model.p.b": ("model.p.a",),
        "unit_test.p.b.u": ("model.p.b",),
    }
    plan = make_plan("dag", "p", TARGET, facts_of(parents, set(parents), set()))
    assert plan.gates == (("test.p.t.h", "unit_test.p.b.u"), ("unit_test.p.b.u", "model.p.b"))
    assert [step.nodes for step in plan.steps] == [("model.p.a", "test.p.t.h"), ("unit_test.p.b.u", "model.p.b")]


def test_a_function_between_does_not_wait_itself_but_what_stands_on_it_does() -> None:
    parents = {"model.p.a": (), "test.p.t.h": ("model.p.a",), "function.p.f": ("model.p.a",), "model.p.b": ("function.p.f",)}
    graph = graph_of(parents)
    assert sparse_gates(graph, {"test.p.t.h": ("model.p.a",)}) == [("test.p.t.h", "model.p.b")]


def test_a_test_of_two_models_is_in_the_step_of_the_one_it_is_attached_to() -> None:
    parents = {"model.p.fact": (), "model.p.zdim": (), "test.p.relationships.h": ("model.p.zdim", "model.p.fact")}
    plan = make_plan("dag", "p", TARGET, facts_of(parents, set(parents), set()))
    assert [step.nodes for step in plan.steps] == [("model.p.zdim",), ("model.p.fact", "test.p.relationships.h")]


def test_step_names_are_unique_where_node_names_are_not() -> None:
    nodes = [
        Node("model.one.orders", "model", "orders", "one", ""),
        Node("model.two.orders", "model", "orders", "two", ""),
        Node("exposure.two.orders", "exposure", "orders", "two", ""),
        Node("model.one.dim.v2", "model", "dim.v2", "one", ""),
        Node("test.one.t.h", "test", "t", "one", "", ("source.one.raw.x",), tests="source.one.raw.x"),
    ]
    parents = {**{node.id: node.parents for node in nodes}, "source.one.raw.x": ()}
    plan = make_plan("dag", "one", TARGET, Facts(tuple(nodes), (), (), parents))
    assert {step.name for step in plan.steps} == {
        "one.orders",
        "model.two.orders",
        "exposure.two.orders",
        "dim.v2",
        "tests of raw.x",
    }


def test_twelve_thousand_nodes_take_about_a_second() -> None:
    import random  # noqa: PLC0415
    import time  # noqa: PLC0415

    draw = random.Random(1)
    models = [f"model.p.m{index}" for index in range(5000)]
    parents: dict[str, tuple[str, ...]] = {}
    for index, key in enumerate(models):
        above = {models[draw.randint(max(0, index - 200), index - 1)] for _ in range(draw.randint(1, 3))} if index > 50 else ()
        parents[key] = tuple(sorted(above))
    for index in range(7200):
        last = draw.randint(0, 4999)
        pair = (models[last], models[draw.randint(max(0, last - 300), last)]) if index % 6 == 0 else (models[last],)
        parents[f"test.p.t{index}.h"] = tuple(dict.fromkeys(pair))
    facts = facts_of(parents, set(parents), set())
    start = time.process_time()
    plan = make_plan("dag", "p", TARGET, facts)
    assert time.process_time() - start < 5  # 0.75 s on a quiet machine
    assert len(plan.gates) < 3 * len(parents)


@pytest.mark.parametrize("vars", [None, {"region": "EU"}])
def test_a_plan_survives_json(vars: dict[str, str] | None) -> None:
    import json  # noqa: PLC0415

    from dbt_flow.plan.planned import Plan  # noqa: PLC0415

    parents = {"model.p.a": (), "test.p.t.h": ("model.p.a",), "model.p.b": ("model.p.a",)}
    plan = make_plan("dag", "p", TARGET, facts_of(parents, set(parents), set()), vars=vars)
    again = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again == plan
    assert again.digest == plan.digest
