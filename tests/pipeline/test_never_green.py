"""Never green by mistake: real runs through the front door, against plain ``dbt build`` of the same data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Ran, Shop, open_shop


def both(folder: Path, *bad: str) -> tuple[Ran, dict[str, str], Shop]:
    """The same project, built by ``dbt-flow run`` and, in a copy, by ``dbt build``."""
    shop = open_shop(folder / "ours", bad=bad)
    copy = Shop(folder / "dbts")
    shutil.copytree(shop.folder, copy.folder)
    return shop.run(), copy.dbt_build(), shop


def ours(run: Ran) -> dict[str, str]:
    return {node["id"]: node["status"] for node in run.json["nodes"]}


def without_hooks(statuses: dict[str, str]) -> dict[str, str]:
    return {node: status for node, status in statuses.items() if not node.startswith("operation.")}


def test_good_data_with_a_warning(tmp_path: Path) -> None:
    run, plain, shop = both(tmp_path, "name")
    assert ours(run) == without_hooks(plain)
    assert run.statuses["not_null_stg_customers_name"] == "warn"
    assert (run.code, run.json["status"]) == (0, "success"), "a warning is no failure"
    shop.close()


def test_three_kinds_of_bad_data(tmp_path: Path) -> None:
    run, plain, shop = both(tmp_path, "amount", "orphan", "unit", "name")
    assert ours(run) == without_hooks(plain)
    assert (run.code, run.json["status"]) == (1, "failed")
    nulls, orphans = (
        run.node("not_null_clean_orders_amount"),
        run.node("relationships_clean_orders_customer_id__id__ref_stg_customers_"),
    )
    assert (nulls["status"], nulls["failures"]) == ("fail", 1)
    assert (orphans["status"], orphans["failures"]) == ("fail", 1)
    causes = {
        "totals": {nulls["id"]},
        "report": {nulls["id"], orphans["id"]},
        "not_null_report_total": {nulls["id"], orphans["id"]},
    }
    for name, why in causes.items():  # totals does not read customers, so the relationship is no gate to it: as in dbt
        assert run.node(name)["status"] == "skipped"
        assert set(run.node(name)["blocked_by"]) == why, "the nearest failures, not the skipped nodes between"
    assert run.node("after_slow")["status"] == "success", "what does not depend on a failure is built"
    shop.close()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(
        tmp_path_factory.mktemp("shop"), bad=("unit",), dags={"flaky": {"select": "+flaky+"}, "empty": {"select": "nothing"}}
    )
    yield opened
    opened.close()


def test_a_unit_test_that_fails_and_a_model_that_cannot_be_built(alone: Shop) -> None:
    alone.control("flaky", fail=True)
    run = alone.run()
    alone.control("flaky")
    assert (run.code, run.json["status"]) == (1, "failed")
    unit = run.node("totals_add_up")
    assert unit["status"] == "fail"
    assert (run.node("totals")["status"], run.node("totals")["blocked_by"]) == ("skipped", [unit["id"]])
    assert run.node("report")["blocked_by"] == [unit["id"]]
    flaky, after = run.node("flaky"), run.node("after_flaky")
    assert flaky["status"] == "error"
    assert "flaky was told to fail" in flaky["reason"]
    assert (after["status"], after["blocked_by"]) == ("skipped", [flaky["id"]])
    told = alone.told_by_metaflow(run.json["run"])[run.json["run"]]
    assert not told["successful"], "Metaflow, and so @trigger_on_finish, says the same"


def test_hooks_that_fail_fail_a_run_whose_nodes_are_all_good(alone: Shop) -> None:
    alone.control("on_run_start", fail=True)
    alone.control("on_run_end", fail=True)
    run = alone.run("flaky")
    alone.control("on_run_start")
    alone.control("on_run_end")
    assert set(run.statuses.values()) == {"success", "pass"}, "dbt builds on after a hook that failed at the start"
    assert (run.code, run.json["status"]) == (1, "failed")
    assert "on_run_start was told to fail" in run.json["reason"]
    assert "on_run_end was told to fail" in run.json["reason"]


def test_what_cannot_be_planned_is_refused_with_exit_code_2(alone: Shop) -> None:
    run = alone.run("empty")
    assert run.code == 2
    assert run.json["status"] == "failed"
    assert run.json["error"]["code"] == "selects-nothing"
    assert (alone.run_folder(run.json["run"]) / "card.html").is_file()
    told = alone.told_by_metaflow(run.json["run"])[run.json["run"]]
    assert [card["type"] for card in told["cards"]] == ["dbt_run"], "a refused run has a card in Metaflow too"
    assert not told["successful"]
