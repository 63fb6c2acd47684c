"""``tests: {on_fail: warn, exclude}``, beside the same DAG without it."""

from __future__ import annotations

from shop import Shop


def test_a_failing_test_warns_and_what_stands_below_is_built(shop: Shop) -> None:
    hard, soft = shop.run("hard"), shop.run("soft")
    assert (hard.code, hard.statuses["not_null_clean_orders_amount"], hard.statuses["totals"]) == (1, "fail", "skipped")
    assert any(name.startswith("relationships_") for name in hard.statuses)
    assert (soft.code, soft.json["status"]) == (0, "success")
    assert (soft.statuses["not_null_clean_orders_amount"], soft.statuses["totals"]) == ("warn", "success")
    warned = soft.node("not_null_clean_orders_amount")
    assert warned["failures"] == 1
    assert warned["reason"] == "a warning here, and no error: dags/soft.yaml:5 says tests.on_fail: warn"
    assert not any(name.startswith("relationships_") for name in soft.statuses), "left out, and not planned"
    assert soft.statuses["totals_add_up"] == "pass", "unit tests stay"
    manifest = shop.kept(soft.json["run"], "plan.json")
    severities = {node["name"]: node["severity"] for node in manifest["nodes"] if node["type"] == "test"}
    assert severities["not_null_clean_orders_amount"] == "error", "the plan says what the project says"
