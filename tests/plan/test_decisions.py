"""What a retry runs, why nodes were skipped, and which path is the longest: on small plans written by hand."""

from __future__ import annotations

from dbt_flow.plan.change_causes import blockers
from dbt_flow.plan.decide import decide
from dbt_flow.plan.making import make_plan
from dbt_flow.plan.paths import critical_path, ranks
from dbt_flow.plan.planned import Plan
from dbt_flow.records import Facts, Node, Target

A, B, C, D = "model.p.a", "model.p.b", "model.p.c", "model.p.d"
TEST_A, TEST_B, UNIT_C = "test.p.ta.h", "test.p.tb.h", "unit_test.p.c.u"


def plan() -> Plan:
    """a -> b -> c, a -> d; a test on a, a test on b, a unit test of c."""
    parents = {A: (), B: (A,), C: (B,), D: (A,), TEST_A: (A,), TEST_B: (B,), UNIT_C: (C,)}
    nodes = tuple(
        Node(key, key.split(".")[0], key.split(".")[2], "p", "", its, tests=its[0] if "test" in key else None)
        for key, its in parents.items()
    )
    return make_plan("dag", "p", Target("dev", "duckdb", "main"), Facts(nodes, (), (), parents))


def decisions(good: set[str], before: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    made = decide(plan(), frozenset(good), "Dag/12", before=before)
    return {decision.id: (decision.decision, decision.reason) for decision in made}


def test_a_run_of_its_own_runs_everything_and_says_why() -> None:
    made = decide(plan(), why="selected by tag:x")
    assert [decision.id for decision in made] == [node.id for node in plan().nodes]
    assert {(decision.decision, decision.reason) for decision in made} == {("run", "selected by tag:x")}


def test_a_retry_runs_what_failed_and_what_stands_on_it() -> None:
    made = decisions({A, TEST_A, D}, {B: "error", TEST_B: "skipped", UNIT_C: "skipped", C: "skipped"})
    assert made[A] == ("skip", "good in Dag/12")
    assert made[TEST_A] == made[D] == ("skip", "good in Dag/12")
    assert made[B] == ("run", "failed in Dag/12")
    assert made[C] == ("run", "was skipped in Dag/12")


def test_what_was_good_runs_again_when_what_it_stands_on_does() -> None:
    made = decisions({B, C, D, TEST_A, TEST_B, UNIT_C})
    assert made[A] == ("run", "has no result in Dag/12")
    assert made[B] == ("run", "depends on a, which runs again")
    assert made[C] == ("run", "depends on b, which runs again")
    assert {key for key, (decision, _) in made.items() if decision == "run"} == {A, B, C, D, TEST_A, TEST_B, UNIT_C}


def test_a_failed_test_runs_again_without_its_model() -> None:
    made = decisions({A, D}, {TEST_A: "fail"})
    assert made[A][0] == "skip"
    assert made[TEST_A] == ("run", "failed in Dag/12")


def test_the_unit_tests_of_a_model_that_runs_again_run_again() -> None:
    made = decisions({A, B, D, TEST_A, TEST_B, UNIT_C}, {C: "error"})
    assert made[UNIT_C] == ("run", "tests c, which runs again")
    assert made[B][0] == "skip"


def test_a_retry_of_a_good_run_runs_nothing() -> None:
    everything = {node.id for node in plan().nodes}
    assert {decision for decision, _ in decisions(everything).values()} == {"skip"}


def test_the_cause_of_a_skip_is_the_failure_and_not_the_skips_between() -> None:
    good = dict.fromkeys([A, D], "success")
    found = blockers(plan(), {**good, TEST_A: "fail", B: "skipped", TEST_B: "skipped", UNIT_C: "skipped", C: "skipped"})
    assert found == dict.fromkeys((B, TEST_B, UNIT_C, C), (TEST_A,))


def test_a_failed_unit_test_is_the_cause_of_its_model() -> None:
    found = blockers(plan(), {A: "success", TEST_A: "pass", B: "success", TEST_B: "pass", UNIT_C: "error", C: "skipped"})
    assert found == {C: (UNIT_C,)}


def test_a_warning_is_no_cause_and_a_skip_without_one_says_so() -> None:
    found = blockers(plan(), {A: "success", TEST_A: "warn", B: "skipped"})
    assert found == {B: ()}


def test_the_critical_path_goes_through_gates() -> None:
    seconds = {A: 1.0, TEST_A: 5.0, B: 1.0, TEST_B: 0.1, UNIT_C: 0.5, C: 2.0, D: 3.0}
    assert critical_path(plan(), seconds) == (A, TEST_A, B, TEST_B, UNIT_C, C)
    assert ranks(plan(), seconds)[A] == 1 + 5 + 1 + 0.1 + 0.5 + 2
    assert ranks(plan(), seconds)[D] == 3


def test_an_empty_plan_has_no_path() -> None:
    empty = make_plan("dag", "p", Target("dev", "duckdb", "main"), Facts((), (), (), {}))
    assert critical_path(empty, {}) == ()
    assert empty.steps == ()
