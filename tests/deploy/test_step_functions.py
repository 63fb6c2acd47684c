"""AWS Step Functions, on moto's server: state machines, rules and tags that AWS's own API keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fleet_of_two import NIGHTLY, change_sql, open_fleet
from front_door import FrontDoor, step_functions_variables
from servers.moto import Moto, moto_server

WEEKLY = {**NIGHTLY, "trigger": {"schedule": "30 2 * * 1"}, "timezone": "Asia/Kolkata"}
BY_HAND = {"owner": "team", "select": "report"}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, aws: Moto) -> Iterator[FrontDoor]:
    """Two DAGs, deployed to production."""
    shop = open_fleet(tmp_path_factory.mktemp("fleet"), nightly=WEEKLY, chained=BY_HAND)
    opened = FrontDoor(shop, "step-functions", step_functions_variables(aws))
    assert opened.apply() == {"chained": "create", "nightly": "create"}
    yield opened
    shop.close()


def machines(aws: Moto) -> dict[str, Any]:
    """The definition of each state machine."""
    client = aws.client("stepfunctions")
    arns = {one["name"]: one["stateMachineArn"] for one in client.list_state_machines()["stateMachines"]}
    return {name: json.loads(client.describe_state_machine(stateMachineArn=arn)["definition"]) for name, arn in arns.items()}


def test_a_schedule_in_eventbridges_words_and_in_utc(door: FrontDoor, aws: Moto) -> None:
    [rule] = aws.client("events").list_rules()["Rules"]
    assert (rule["Name"], rule["State"]) == ("shop.prod.Nightly", "ENABLED")
    assert rule["ScheduleExpression"] == "cron(0 21 ? * SUN *)", "half past two on Mondays in India"


def test_nothing_has_changed(door: FrontDoor, aws: Moto) -> None:
    before = machines(aws)
    assert set(before) == {"shop.prod.Nightly", "shop.prod.Chained"}
    assert door.apply() == {} and door.drift(code=0) == {}
    assert machines(aws) == before


def test_one_models_sql(door: FrontDoor, aws: Moto) -> None:
    """Only that DAG's code is uploaded anew. (AWS refuses to create a machine that is there, and Metaflow then updates it; moto
    answers with the old one, so that its definition stays.)"""
    before = {flow: packages(aws, flow) for flow in ("Nightly", "Chained")}
    change_sql(door.shop, "totals", "group by 1", "group by  1")
    assert door.apply() == {"nightly": "update"}
    assert packages(aws, "Chained") == before["Chained"]
    assert packages(aws, "Nightly") > before["Nightly"], "another code package"
    assert door.drift(code=0) == {}


def packages(aws: Moto, flow: str) -> set[str]:
    """The code packages of a flow, by their content's address."""
    return set(aws.objects(f"metaflow/{flow}/data/"))


def test_changed_by_hand_and_a_new_version(door: FrontDoor, aws: Moto) -> None:
    aws.client("events").disable_rule(Name="shop.prod.Nightly")
    assert door.drift() == {"nightly": "it was changed on the scheduler, not by dbt-flow"}
    changed = {**WEEKLY, "params": {"day": {"type": "str", "default": "x"}}}
    door.shop.dag("nightly", **changed)
    document = door.run("plan", "--json", code=2).json
    assert [(one["code"], one["file"]) for one in document["errors"]] == [("breaks-contract", "dags/nightly.yaml")]
    door.shop.dag("nightly", **changed, version=2)
    assert door.apply() == {"nightly_v2": "create"}
    assert set(machines(aws)) == {"shop.prod.Nightly", "shop.prod.NightlyV2", "shop.prod.Chained"}


def test_what_it_cannot_express_is_refused_with_its_line(door: FrontDoor) -> None:
    door.shop.dag("berlin", owner="team", select="totals", trigger={"schedule": "0 6 * * *"}, timezone="Europe/Berlin")
    door.shop.dag("heard", owner="team", select="totals", trigger={"event": "landed"})
    try:
        document = door.run("plan", "--json", code=2).json
        told = {(one["file"], one["line"], one["code"]) for one in document["errors"]}
        assert told == {("dags/berlin.yaml", 5, "not-on-scheduler"), ("dags/heard.yaml", 3, "not-on-scheduler")}
    finally:
        for name in ("berlin", "heard"):
            (door.shop.folder / f"dags/{name}.yaml").unlink()


def test_no_credentials_and_nobody_there(door: FrontDoor) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    folder = {"DBT_FLOW_STATE": str(door.shop.folder / "state")}
    assert "credentials" in door.errors("drift", env={**nobody, **folder})["deploy-forbidden"]
    assert (
        "could not be asked"
        in door.errors("drift", env={**folder, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})["deploy-unreachable"]
    )


def test_all_of_it_is_removed(door: FrontDoor, aws: Moto) -> None:
    assert door.run("destroy", "--yes").stdout == "step-functions, shop, production: 3 removed\n"
    assert machines(aws) == {} and aws.client("events").list_rules()["Rules"] == []
