"""Waves: every need is in an earlier place, warm parts are few, and Metaflow takes the flow that comes of it."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metaflow import FlowSpec, step
from metaflow.graph import FlowGraph
from metaflow.lint import linter

from dbt_flow.flows.steps import make_methods
from dbt_flow.metaflow_seam import set_steps
from dbt_flow.plan.planned import Step
from dbt_flow.plan.waves import END, ISOLATED, PASS, START, TAKEN, WARM, FlowStep, Waves, flow_steps, make_waves


def chain(*names: str) -> list[Step]:
    return [Step(name, (name,), (before,) if before else ()) for before, name in itertools.pairwise(("", *names))]


@st.composite
def plans(draw: Any) -> tuple[list[Step], set[str]]:
    count = draw(st.integers(1, 14))
    steps = []
    for index in range(count):
        above = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        steps.append(Step(f"m{index}", (f"m{index}",), tuple(f"m{i}" for i in sorted(above))))
    return steps, draw(st.sets(st.sampled_from([s.name for s in steps])))


def places(waves: Waves) -> dict[str, tuple[int, int]]:
    """Warm parts and waves in the order in which they run."""
    found = {name: (part, 0) for part, names in enumerate(waves.warm) for name in names}
    return found | {name: (wave, 1) for wave, names in enumerate(waves.isolated) for name in names}


@given(plans())
@settings(max_examples=300, deadline=None)
def test_every_need_is_in_an_earlier_place(drawn: tuple[list[Step], set[str]]) -> None:
    steps, isolated = drawn
    waves = make_waves(steps, isolated)
    place = places(waves)
    assert set(place) == {s.name for s in steps}
    assert {name for names in waves.isolated for name in names} == isolated
    for one in steps:
        for need in one.needs:
            together = place[need] == place[one.name] and one.name not in isolated
            assert place[need] < place[one.name] or together
    assert all(waves.isolated), "no wave is empty"


@given(plans())
@settings(max_examples=150, deadline=None)
def test_no_placing_has_fewer_warm_parts(drawn: tuple[list[Step], set[str]]) -> None:
    steps, isolated = drawn
    waves = make_waves(steps, isolated)
    last = len(waves.isolated)
    used = {part for part, names in enumerate(waves.warm) if names} - {last}
    for chosen in itertools.chain.from_iterable(itertools.combinations(range(last), n) for n in range(len(used))):
        assert not possible(steps, isolated, waves, {*chosen, last}), f"{sorted(chosen)} would do, instead of {sorted(used)}"


def possible(steps: list[Step], isolated: set[str], waves: Waves, parts: set[int]) -> bool:
    """Whether the warm steps fit into these parts, each in the first that comes after what it needs."""
    place = {name: wave + 1 for wave, names in enumerate(waves.isolated) for name in names}  # a later part may use it
    for one in steps:
        first = max((place[need] for need in one.needs), default=0)
        if one.name in isolated:
            if first > place[one.name] - 1:
                return False
        else:
            place[one.name] = next((part for part in sorted(parts) if part >= first), len(waves.isolated))
    return True


def test_a_chain_needs_no_part_between_its_isolated_models() -> None:
    flow = flow_steps(make_waves(chain("a", "b", "c", "d"), {"b", "c"}))
    assert [(s.name, s.kind, s.next, s.joins) for s in flow] == [
        ("start", WARM, ("b",), False),
        ("b", ISOLATED, ("c",), False),
        ("c", ISOLATED, ("end",), False),
        ("end", WARM, (), False),
    ]


def test_joins_and_splits_stand_only_where_metaflow_wants_them() -> None:
    steps = [
        *chain("a"),
        Step("b", ("b",)),
        Step("c", ("c",), ("a",)),
        Step("d", ("d",), ("b",)),
        Step("w", ("w",), ("a", "b")),
    ]
    steps.append(Step("e", ("e",), ("w", "c")))
    flow = {s.name: s for s in flow_steps(make_waves(steps, {"a", "b", "c", "d", "e"}))}
    assert {name: s.kind for name, s in flow.items() if s.kind != ISOLATED} == {
        "start": WARM,
        "join_1": PASS,
        "split_1": PASS,
        "join_2": WARM,  # builds w, in time for e
        "end": WARM,
    }
    assert flow["split_1"].next == ("c", "d")
    assert flow["join_2"].next == ("e",)


def test_a_part_that_has_hooks_takes_what_it_can() -> None:
    steps = [Step("seed", ("seed",)), *chain("a", "b")]
    assert make_waves(steps, {"a"}).warm == ((), ("seed", "b")), "nobody waits for the seed"
    assert make_waves(steps, {"a"}, paid=[0]).warm == (("seed",), ("b",)), "dbt is started there in any case"


@pytest.mark.parametrize(
    "wish", ["class", "Dim Carriers.v2", "2nd", "next", "start", "end", "dag", "_x", "münze", "join_1", "a.b", "a_b"]
)
def test_names(wish: str) -> None:
    flow = flow_steps(make_waves([Step("a b", ("x",)), Step(wish, (wish,)), Step("other", ("o",))], {"a b", wish, "other"}))
    names = [s.name for s in flow]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name == name.lower() and name.isascii() for name in names)
    assert next(s.name for s in flow if s.step == wish) not in TAKEN


def test_no_name_of_a_flow_object_is_given() -> None:
    assert {name for name in dir(FlowSpec) if not name.startswith("_")} <= TAKEN | {"configs", "trigger"}


def graph(flow: tuple[FlowStep, ...], ours: bool) -> FlowGraph:
    class Waved(FlowSpec):
        @step
        def start(self) -> None:
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    before, checks = FlowGraph._traverse_graph, linter._checks
    try:
        set_steps(
            SimpleNamespace(_flow_cls=Waved), {name: step(m) for name, m in make_methods(flow, "waved", __name__).items()}
        )
        if not ours:
            FlowGraph._traverse_graph, linter._checks = before, checks
        found = FlowGraph(Waved)
        linter.run_checks(found)
        return found
    finally:
        FlowGraph._traverse_graph, linter._checks = before, checks


@given(plans())
@settings(max_examples=60, deadline=None)
def test_metaflow_draws_the_same_graph_its_own_way(drawn: tuple[list[Step], set[str]]) -> None:
    steps, isolated = drawn
    if not isolated:
        return
    flow = flow_steps(make_waves(steps, isolated))
    theirs, mine = graph(flow, ours=False), graph(flow, ours=True)
    for name in theirs.nodes:
        for fact in ("type", "in_funcs", "out_funcs", "split_parents", "split_branches", "matching_join", "is_inside_foreach"):
            assert getattr(mine[name], fact) == getattr(theirs[name], fact), (name, fact)
    order = mine.sorted_nodes
    assert sorted(order) == sorted(theirs.sorted_nodes)
    assert all(order.index(a) < order.index(b) for a in order for b in mine[a].out_funcs)


def test_many_wide_waves_are_drawn_at_once() -> None:
    """Metaflow's own way goes along every path: here 6 to the power of 12."""
    steps = [
        Step(f"m{wave}_{n}", (f"{wave}{n}",), tuple(f"m{wave - 1}_{i}" for i in range(6)) if wave else ())
        for wave in range(12)
        for n in range(6)
    ]
    flow = flow_steps(make_waves(steps, {s.name for s in steps}))
    found = graph(flow, ours=True)
    assert (found.start_step, found.end_step) == (START, END)
    assert len(found.nodes) == 2 + 72 + 12 + 11
