"""What a card finds in what was remembered, and how it is made again when parts of a record are gone or damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dbt_flow.pipeline import backdrop as found_in
from dbt_flow.pipeline.backdrop import backdrop
from dbt_flow.pipeline.card_again import card_again
from dbt_flow.pipeline.settle import card_extra
from dbt_flow.plan.planned import Plan
from dbt_flow.records import Node, NodeResult, RunResult, utc_text
from dbt_flow.report.rules import Rules
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import FolderStore

ORDERS, TEST, RAW = "model.shop.orders", "test.shop.unique_orders_id", "source.shop.raw.orders"


def plan(dag: str = "shop", checksum: str = "1", **more: Any) -> Plan:
    nodes = (
        Node(ORDERS, "model", "orders", "shop", "models/orders.sql", (RAW,), checksum=checksum),
        Node(TEST, "test", "unique_orders_id", "shop", "models/m.yml", (ORDERS,), tests=ORDERS, checksum="t"),
    )
    raw = Node(RAW, "source", "orders", "shop", "models/s.yml", owner="shop-team")
    given = {"nodes": nodes, "edges": ((ORDERS, TEST),), "gates": (), "steps": (), "surroundings": (raw,), **more}
    return Plan(dag, "shop", "dev", "duckdb", **given)


def result(number: int, status: str = "success", *, test: str = "pass", rows: int = 5) -> RunResult:
    nodes = (NodeResult(ORDERS, "success", rows=rows), NodeResult(TEST, test, failures=3))
    at = utc_text(1_790_000_000 + number * 86_400)
    return RunResult("shop", "Shop", f"Shop/{number}", status, "", "dev", at, at, 3.0, owner="team", nodes=nodes)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    found_in._KNOWN.clear()
    return FolderStore(tmp_path / "state")


def kept(store: FolderStore, made: Plan, ended: RunResult, sources: dict[str, int] | None = None) -> RunRecord:
    record = RunRecord(store, RunRef("dev", made.dag, ended.run.rpartition("/")[2]))
    record.put("plan.json", made.to_dict())
    record.put("source_rows.json", sources or {})
    record.begin_attempt(0, {"flow": ended.flow, "run": ended.run, "owner": ended.owner})
    for node in ended.nodes:
        record.node_ended(0, node)
    record.settle(ended)
    return record


def test_a_failure_is_compared_with_the_last_good_run(store: FolderStore) -> None:
    kept(store, plan(checksum="1"), result(1), {RAW: 100})
    kept(store, plan(checksum="2"), result(2, "failed", test="fail"), {RAW: 100})
    kept(store, plan(checksum="2"), result(3, "failed", test="fail"), {RAW: 70})
    extra = card_extra(store, result(3, "failed", test="fail"), {})
    assert extra.last_good is not None
    assert (extra.last_good.run, extra.last_good.checksums[ORDERS]) == ("Shop/1", "1")
    assert extra.last_good.rows == {RAW: 100, ORDERS: 5}
    assert extra.source_rows == {RAW: 70}
    assert extra.rows == {ORDERS: (5, 5)}, "its own count is not what is usual"
    html = card_again(RunRecord(store, RunRef("dev", "shop", "3")))
    assert html and "Code and data have changed since the last good run (Shop/1): orders; rows of raw.orders" in html
    assert "30% fewer rows than in the last good run (100)" in html
    assert "failing since" in html


def test_other_dags_that_read_it_wait(store: FolderStore) -> None:
    kept(store, plan(), result(1, "failed", test="fail"))
    reader = plan("pricing", nodes=(), edges=(), surroundings=(Node(ORDERS, "model", "orders", "shop", "o.sql"),))
    other = RunRecord(store, RunRef("dev", "pricing", "9"))
    other.put("plan.json", reader.to_dict())
    other.begin_attempt(0, {"owner": "pricing-team"})
    [waiting] = card_extra(store, result(1, "failed", test="fail"), {}).waiting
    assert (waiting.name, waiting.owner, waiting.reads) == ("pricing", "pricing-team", (ORDERS,))


def test_training_flows_that_start_after_it_wait(tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text(
        "from metaflow import FlowSpec, trigger_on_finish\n\n"
        "@trigger_on_finish(flow='CarrierRisk')\nclass Train(FlowSpec):\n    pass\n\n"
        "@trigger_on_finish(flow='Other')\nclass No(FlowSpec):\n    pass\n"
    )
    assert [one.name for one in found_in._flows_in(file, "CarrierRisk")] == ["Train"]


def test_the_deadline_and_links_come_from_the_rules(store: FolderStore) -> None:
    rules = Rules(project="shop", dag="shop", done_by="23:59", links={"card": "https://cards.example/{dag}/{run}"})
    extra = card_extra(store, result(1), {"telling": rules.to_dict()})
    assert extra.links == {"card": "https://cards.example/shop/1"}
    assert extra.deadline and extra.deadline["state"] == "held" and "to spare" in extra.deadline["said"]
    late = card_extra(store, result(1, "failed", test="fail"), {"telling": rules.to_dict()})
    assert late.deadline and late.deadline["state"] == "open"
    assert card_extra(store, result(1), {}).deadline is None


def test_freshness_is_read_from_dbts_own_document(store: FolderStore) -> None:
    record = kept(store, plan(), result(1))
    row = {"unique_id": RAW, "status": "error", "max_loaded_at": "2026-01-01T00:00:00Z", "max_loaded_at_time_ago_in_s": 5.0}
    record.put("sources.json", {"results": [row, "junk", {}]})
    assert card_extra(store, result(1), {}).freshness == {RAW: row}


DAMAGE = [b"", b"{", b"[]", b"7", b'"text"', b'{"nodes": 3}', b'{"version": 99}', b"\xff\x00"]


@pytest.mark.parametrize("name", ["plan.json", "source_rows.json", "sources.json", "result.json", "attempt-0.jsonl"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_costs_a_part_and_never_the_card(store: FolderStore, name: str, damage: bytes) -> None:
    kept(store, plan(), result(1), {RAW: 3})
    record = kept(store, plan(), result(2, "failed", test="fail"), {RAW: 3})
    for number in ("1", "2"):
        store.put(f"runs/dev/shop/{number}/{name}", damage)
    for kind in ("history/dev/shop.jsonl", "rows/dev/shop.json", "durations/dev.json"):
        store.put(kind, damage)
    page = card_again(record)
    assert page and "<h1>shop</h1>" in page
    assert record.get_text("card.html") == page
    assert backdrop(store, result(2), None, {"telling": 5}, ())["last_good"] is None


def test_a_card_of_a_run_without_a_result_is_made_from_its_attempts(store: FolderStore) -> None:
    record = RunRecord(store, RunRef("dev", "shop", "5"))
    assert card_again(record) is None
    record.put("plan.json", plan().to_dict())
    record.begin_attempt(0, {"flow": "Shop", "run": "Shop/5"})
    record.node_ended(0, NodeResult(ORDERS, "success"))
    store.append(f"{record.ref.folder}/attempt-0.jsonl", b'{"start": "%s", "at": "2026-01-01T00' % TEST.encode())
    header = json.loads((store.folder / record.ref.folder / "attempt-0.jsonl").read_text().splitlines()[0])
    assert header["pid"]
    page = card_again(record)
    assert page and "1 of 2 nodes done" in page, "this very process may be its task: it goes on"
