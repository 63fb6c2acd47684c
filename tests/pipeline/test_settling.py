"""The never-green rule and the settling of dead runs, on records and plans alone: no process, no dbt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dbt_flow.errors import RunCancelled, RunFailed
from dbt_flow.pipeline.settle import Ending, complete, judge, settle_dead
from dbt_flow.plan.planned import Plan
from dbt_flow.records import GOOD, Node, NodeResult, RunResult
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import FolderStore

A, B, TEST = "model.shop.a", "model.shop.b", "test.shop.a_is_good.1"
DEAD = {"pid": 2**22 + 1, "born": 0.0}
"""A process that is not there."""


def plan() -> Plan:
    nodes = tuple(
        Node(id=name, type=name.split(".")[0], name=name.split(".")[2], package="shop", path="") for name in (A, TEST, B)
    )
    return Plan("shop", "shop", "dev", "duckdb", nodes, edges=((A, TEST), (A, B)), gates=((TEST, B),), steps=())


def blank() -> RunResult:
    return RunResult("shop", "Shop", "Shop/1", "running", "", "dev", "2026-11-01T00:00:00.000Z")


def judged(statuses: dict[str, str], ending: Ending | None = None) -> RunResult:
    results = {node: NodeResult(node, status) for node, status in statuses.items()}
    ending = ending or Ending()
    return judge(blank(), plan(), complete(plan(), results, {}, ending), ending)


@pytest.mark.parametrize("word", sorted(GOOD))
def test_only_these_words_are_good(word: str) -> None:
    assert judged({A: "success", TEST: "pass", B: word}).status == "success"


@pytest.mark.parametrize(
    "word",
    ["error", "fail", "skipped", "runtime error", "partial success", "cancelled", "lost", "", "Success", "splendid", "None"],
)
def test_every_other_word_fails_the_run(word: str) -> None:
    result = judged({A: "success", TEST: "pass", B: word})
    assert result.status == "failed"
    assert result.reason


def test_a_planned_node_without_a_result_is_lost() -> None:
    result = judged({A: "success", TEST: "pass"})
    assert result.status == "failed"
    assert result.nodes[-1].status == "lost"
    assert result.nodes[-1].id == B


def test_results_that_nobody_planned_make_nothing_good() -> None:
    result = judged({A: "success", TEST: "pass", "model.shop.other": "success"})
    assert [node.id for node in result.nodes] == [A, TEST, B]
    assert result.status == "failed"


def test_nothing_planned_is_not_good() -> None:
    assert judge(blank(), None, (), Ending()).status == "failed"


def test_good_results_of_a_part_of_the_plan_are_not_enough() -> None:
    """Whoever gives them: the rule itself counts the planned nodes."""
    for some in ((), (NodeResult(A, "success"), NodeResult(TEST, "pass"))):
        assert judge(blank(), plan(), some, Ending()).status == "failed"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (Ending(complaint="a hook failed"), "failed"),
        (Ending(RunFailed("timeout", "too long")), "failed"),
        (Ending(RunFailed("launcher-gone", "gone")), "failed"),
        (Ending(RunCancelled("run-cancelled", "stopped by SIGINT")), "cancelled"),
    ],
)
def test_whatever_else_went_wrong_counts_although_all_nodes_are_good(ending: Ending, status: str) -> None:
    result = judged({A: "success", TEST: "pass", B: "success"}, ending)
    assert result.status == status
    assert result.error


def test_the_cause_of_a_skip_is_named_also_when_it_was_lost() -> None:
    nodes = complete(plan(), {B: NodeResult(B, "skipped")}, {A: "2026-11-01T00:00:00.000Z"}, Ending())
    assert [node.status for node in nodes] == ["lost", "lost", "skipped"]
    assert nodes[0].reason.startswith("it was being built")
    assert nodes[1].reason.startswith("it had not started")
    assert nodes[2].blocked_by == (A, TEST)
    assert nodes[2].reason == "blocked by a, a_is_good"


# ---- runs that died


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return RunRecord(FolderStore(tmp_path / "state"), RunRef("dev", "shop", "1"))


def dying(record: RunRecord, attempt: int = 0, **facts: object) -> None:
    record.put("plan.json", plan().to_dict())
    record.begin_attempt(attempt, {"flow": "Shop", "run": "Shop/1", "versions": {"dbt": "1.11"}, **DEAD, **facts})


def test_a_dead_run_is_told_per_node_with_card_and_run_results(record: RunRecord) -> None:
    dying(record)
    record.node_started(0, A, "2026-11-01T00:00:00.000Z")
    record.node_ended(0, NodeResult(A, "success", seconds=2.0))
    record.node_started(0, TEST, "2026-11-01T00:00:02.000Z")
    result = settle_dead(record.store, "shop", "1")
    assert result is not None
    assert result.status == "failed"
    assert {node.id: node.status for node in result.nodes} == {A: "success", TEST: "lost", B: "lost"}
    assert record.get_text("card.html")
    written = record.get("run_results.json")
    assert {entry["unique_id"]: entry["status"] for entry in written["results"]} == {A: "success", TEST: "error", B: "error"}
    assert settle_dead(record.store, "shop", "1") == result, "settled once"


def test_both_attempts_of_a_dead_run_are_told(record: RunRecord) -> None:
    dying(record)
    record.node_ended(0, NodeResult(A, "success"))
    record.node_ended(0, NodeResult(TEST, "error", message="no"))
    record.put("run_results.json", {"results": [{"unique_id": A, "status": "success"}, {"unique_id": TEST, "status": "error"}]})
    dying(record, attempt=1)
    record.node_ended(1, NodeResult(TEST, "pass"))
    result = settle_dead(record.store, "shop", "1")
    assert result is not None
    assert {node.id: node.status for node in result.nodes} == {A: "success", TEST: "pass", B: "lost"}
    written = record.get("run_results.json")["results"]
    assert {entry["unique_id"]: entry["status"] for entry in written} == {A: "success", TEST: "pass", B: "error"}
    assert len(written) == 3


def test_a_run_whose_nodes_were_all_good_is_not_green_when_it_died_before_it_said_so(record: RunRecord) -> None:
    dying(record)
    for node, status in ((A, "success"), (TEST, "pass"), (B, "success")):
        record.node_ended(0, NodeResult(node, status))
    result = settle_dead(record.store, "shop", "1")
    assert result is not None
    assert result.status == "failed", "its hooks may not have run"


def test_a_living_run_is_left_alone(record: RunRecord) -> None:
    record.put("plan.json", plan().to_dict())
    record.begin_attempt(0, {})
    assert settle_dead(record.store, "shop", "1", "Shop") is None
    assert record.result() is None


def test_a_run_that_died_before_its_plan_is_settled_by_who_knows_of_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    assert settle_dead(store, "shop", "7") is None, "nobody knows of it"
    result = settle_dead(store, "shop", "7", "Shop")
    assert result is not None
    assert (result.status, result.run) == ("failed", "Shop/7")
    stopped = settle_dead(store, "shop", "8", "Shop", stopped="stopped by SIGTERM")
    assert stopped is not None
    assert (stopped.status, stopped.reason) == ("cancelled", "stopped by SIGTERM")


def test_a_refusal_is_the_reason_of_a_run_that_then_died(record: RunRecord) -> None:
    record.begin_attempt(0, {"refused": "dbt cannot parse it", **DEAD})
    result = settle_dead(record.store, "shop", "1")
    assert result is not None
    assert result.reason == "dbt cannot parse it"


def test_a_log_cut_short_costs_its_last_line(record: RunRecord) -> None:
    dying(record)
    record.node_ended(0, NodeResult(A, "success"))
    log = record.store.folder / record.ref.folder / "attempt-0.jsonl"  # type: ignore[attr-defined]
    with log.open("ab") as stream:
        stream.write(json.dumps({"end": NodeResult(TEST, "pass").to_dict()}).encode()[:-5])
    result = settle_dead(record.store, "shop", "1")
    assert result is not None
    assert [node.status for node in result.nodes] == ["success", "lost", "lost"]
