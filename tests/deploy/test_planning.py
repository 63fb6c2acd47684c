"""What a plan says, and why: the words, with a scheduler that is a dictionary and a dbt that is real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fleet_of_two import CHAINED, NIGHTLY, TRAIN, Deployer, change_sql, open_fleet, with_training
from rich.console import Console
from stand_in_scheduler import StandInScheduler

from dbt_flow.cli.deploying import Progress, show_plan
from dbt_flow.deploy.applying import Done
from dbt_flow.deploy.nouns import Space
from dbt_flow.deploy.planning import Action
from dbt_flow.deploy.schedulers import scheduler_for
from dbt_flow.errors import DbtFlowError, InputError, Refusals, StateError


@pytest.fixture(scope="module")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture(scope="module")
def opened(shop_folder: Path) -> Iterator[Deployer]:
    shop = open_fleet(shop_folder)
    yield Deployer(shop, StandInScheduler(), Space("shop"))
    shop.close()


@pytest.fixture
def deployer(opened: Deployer) -> Deployer:
    """Both DAGs applied, as they were written at first."""
    opened.shop.dag("nightly", **NIGHTLY)
    opened.shop.dag("chained", **CHAINED)
    (opened.shop.folder / "dbt_flow.yml").unlink(missing_ok=True)
    for left in ("renamed", "odd"):
        (opened.shop.folder / f"dags/{left}.yaml").unlink(missing_ok=True)
    opened.lose_state()
    opened.scheduler = StandInScheduler()
    opened.apply()
    opened.scheduler.did.clear()
    return opened


def because(deployer: Deployer, name: str) -> tuple[str, ...]:
    return next(action.because for action in deployer.plan().actions if action.name == name)


def test_another_sql_of_one_model_updates_the_dags_that_build_it(deployer: Deployer) -> None:
    change_sql(deployer.shop, "totals", "sum(amount)", "sum(amount) + 0")
    try:
        assert because(deployer, "nightly") == ("SQL of model totals changed",)
        deployer.apply()
        assert deployer.scheduler.did == ["put Nightly"]
    finally:
        change_sql(deployer.shop, "totals", "sum(amount) + 0", "sum(amount)")


def test_a_table_of_another_name_updates_who_reads_it(deployer: Deployer) -> None:
    change_sql(deployer.shop, "totals", "materialized='table'", "materialized='table', alias='sums'")
    try:
        assert because(deployer, "chained") == ("the name of a table that it reads changed: model report",)
    finally:
        change_sql(deployer.shop, "totals", "materialized='table', alias='sums'", "materialized='table'")


def test_the_dag_file_and_the_surroundings_are_told(deployer: Deployer) -> None:
    deployer.shop.dag("nightly", **{**NIGHTLY, "retries": 2})
    deployer.scheduler.around = {"KUBERNETES_NAMESPACE": "freight"}
    assert because(deployer, "nightly") == ("retries in the DAG file", "KUBERNETES_NAMESPACE is now freight")
    assert because(deployer, "chained") == ("KUBERNETES_NAMESPACE is now freight",)


def test_while_a_file_is_wrong_nothing_is_removed(deployer: Deployer) -> None:
    (deployer.shop.folder / "dags/nightly.yaml").write_text("owner: team\nselect: totals\nretries: many\n")
    plan = deployer.plan()
    assert {action.name: action.action for action in plan.actions}["nightly"] == "keep"
    assert "dags/nightly.yaml:3" in str(plan.errors[0])
    with pytest.raises(DbtFlowError, match="retries"):
        deployer.apply()
    assert deployer.scheduler.did == []


BREAKING = {
    "new": (
        {"as_of": {"type": "date", "default": "today"}, "day": {"type": "str"}},
        "the parameter day is new and has no default",
    ),
    "gone": ({}, "the parameter as_of is gone"),
    "another type": ({"as_of": {"type": "int", "default": 1}}, "the parameter as_of was date and is int"),
    "required": ({"as_of": {"type": "date"}}, "the parameter as_of has no default any more"),
}


@pytest.mark.parametrize("lost", [False, True], ids=["", "state lost"])
@pytest.mark.parametrize("how", BREAKING)
def test_a_breaking_input_is_refused(deployer: Deployer, how: str, lost: bool) -> None:
    params, what = BREAKING[how]
    deployer.shop.dag("nightly", **{**NIGHTLY, "trigger": "none", "params": params})
    if lost:
        deployer.lose_state()
    [error] = deployer.plan().errors
    assert error.code == "breaks-contract" and what in error.message and "version: 2" in str(error.hint)
    assert error.place is not None and error.place.file == "dags/nightly.yaml"
    with pytest.raises(InputError):
        deployer.apply()


def test_a_saved_plan_is_refused_when_the_world_has_moved(deployer: Deployer) -> None:
    deployer.shop.dag("nightly", **{**NIGHTLY, "retries": 1})
    saved = json.loads(json.dumps(deployer.plan().to_dict()))
    deployer.shop.dag("chained", **{**CHAINED, "retries": 1})
    with pytest.raises(InputError, match="Chained: what is to be done and its files") as refused:
        deployer.apply(saved)
    assert refused.value.code == "plan-stale" and deployer.scheduler.did == []
    deployer.shop.dag("chained", **CHAINED)
    deployer.apply(saved)
    assert deployer.scheduler.did == ["put Nightly"]


def test_a_claim_of_a_dead_process_is_passed_over(deployer: Deployer) -> None:
    ledger = deployer.ledger
    names = ledger.store.list(f"{ledger.folder}/applies")
    key = f"{ledger.folder}/applies/{names[-1]}"
    claim = json.loads(ledger.store.get(key) or b"")
    del claim["ended"]
    ledger.store.put(key, json.dumps({**claim, "born": claim["born"] - 1000}).encode())
    deployer.apply()
    ledger.store.put(key.replace(names[-1], "999998.json"), json.dumps({**claim, "host": "elsewhere"}).encode())
    with pytest.raises(StateError, match="on elsewhere"):
        deployer.apply()


def test_an_ml_flow_without_a_project_has_no_branches(deployer: Deployer) -> None:
    with_training(deployer.shop, TRAIN.replace('@project(name="shop")\n', ""))
    branch = replace(deployer, space=Space("shop", "ann"), scheduler=StandInScheduler())
    [error] = branch.plan().errors
    assert error.code == "not-deployable" and error.place is not None and error.place.file == "training/train.py"
    assert branch.ledger.folder != deployer.ledger.folder


def test_local_is_what_serve_runs(deployer: Deployer) -> None:
    local = replace(deployer, scheduler=scheduler_for("local", deployer.settings))
    assert {one.action.name for one in local.apply()} == {"chained", "nightly"}
    assert local.actions() == {"chained": "same", "nightly": "same"}
    local.shop.dag("nightly", **{**NIGHTLY, "params": {}})
    assert [error.code for error in local.plan().errors] == ["breaks-contract"]
    local.shop.dag("nightly", **{**NIGHTLY, "retries": 1})
    assert because(local, "nightly") == ("retries in the DAG file",)


def test_all_errors_at_once(deployer: Deployer) -> None:
    deployer.shop.dag("nightly", **{**NIGHTLY, "params": {}})
    (deployer.shop.folder / "dags/odd.yaml").write_text("owner: team\nselect: nothing_of_that_name\n")
    with pytest.raises(Refusals) as refused:
        deployer.apply()
    assert {error.code for error in refused.value.errors} == {"breaks-contract", "selects-nothing"}


def test_what_changes_many_flows_is_told_once(deployer: Deployer, capsys: pytest.CaptureFixture[str]) -> None:
    many = [f"many_{letter}" for letter in "abc"]
    for name in many:
        deployer.shop.dag(name, owner="team", select="report", trigger={"schedule": "0 7 * * *"})
    try:
        deployer.apply()
        deployer.scheduler.around = {"image": "dbt-flow:2"}
        deployer.shop.dag("nightly", **{**NIGHTLY, "retries": 2})
        plan = deployer.plan()
        show_plan(plan, plan.to_dict(), as_json=False)
    finally:
        for name in many:
            (deployer.shop.folder / f"dags/{name}.yaml").unlink()
    said = capsys.readouterr().out
    assert said.count("image is now dbt-flow:2") == 1 and "5 flows" in said
    assert "retries in the DAG file" in said and "nightly" in said and "many_a" not in said
    assert said.splitlines()[-1] == "argo, shop, production: 5 to update"
    assert max(map(len, said.splitlines())) <= 80


def test_what_is_done_stands_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(stderr=True, force_terminal=True).status("update nightly: uploading") as status:
        told = Progress(status)
        told.expect(2)
        told.told(Done(Action("Nightly", "nightly", "update")))
    assert "\x1b[2Kupdated nightly (1 of 2)\n" in capsys.readouterr().err
