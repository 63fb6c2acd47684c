"""Argo Workflows, as far as a cluster's API goes: what Metaflow and we send is Argo's own, and says what ``serve`` says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fleet_of_two import open_fleet, with_training
from front_door import FrontDoor, argo_variables
from hera.events.models import Sensor
from hera.workflows.models import CronWorkflow, WorkflowTemplate
from kubernetes_api import KubernetesApi, kubernetes_api
from servers.moto import moto_server

from dbt_flow.launch import read_flow
from dbt_flow.serve.listeners import Subscriber, of_dag, of_flow
from dbt_flow.settings import load_settings
from dbt_flow.spec import load_dag


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    with kubernetes_api() as server:
        yield server


@pytest.fixture(scope="module")
def argo(tmp_path_factory: pytest.TempPathFactory, api: KubernetesApi) -> Iterator[FrontDoor]:
    """Two DAGs and an ML flow, deployed to production."""
    folder = tmp_path_factory.mktemp("fleet")
    with moto_server(tmp_path_factory.mktemp("moto")) as aws:
        shop = open_fleet(folder)
        with_training(shop)
        door = FrontDoor(shop, "argo", argo_variables(aws, api.kubeconfig(folder / "kubeconfig")))
        assert door.apply() == {"chained": "create", "nightly": "create", "Train": "create"}
        yield door
        door.close()


def test_what_is_sent_is_argos_own(argo: FrontDoor, api: KubernetesApi) -> None:
    kinds: dict[str, Any] = {"workflowtemplates": WorkflowTemplate, "cronworkflows": CronWorkflow, "sensors": Sensor}
    for plural, model in kinds.items():
        for name, sent in api.of_kind(plural).items():
            read = model.model_validate(sent)
            assert read.metadata.name == name
            # What the model does not know would be dropped here.
            kept = read.model_dump(by_alias=True, exclude_none=True, mode="json")["spec"]
            assert set(kept) == {key for key, value in sent["spec"].items() if value is not None}, name
    assert set(api.of_kind("workflowtemplates")) == {"shop.prod.nightly", "shop.prod.chained", "shop.prod.train"}
    assert set(api.of_kind("cronworkflows")) == {"shop.prod.nightly"}
    assert set(api.of_kind("sensors")) == {"shop-prod-chained", "shop-prod-train"}


def test_overlap_and_time_zone_are_said_where_argo_has_a_place_for_them(argo: FrontDoor, api: KubernetesApi) -> None:
    cron = api.of_kind("cronworkflows")["shop.prod.nightly"]["spec"]
    assert (cron["schedules"], cron["timezone"], cron["concurrencyPolicy"]) == (["0 6 * * 1-5"], "Europe/Berlin", "Forbid")
    templates = api.of_kind("workflowtemplates")
    assert templates["shop.prod.chained"]["spec"]["synchronization"] == {"mutexes": [{"name": "shop.prod.chained"}]}
    assert "synchronization" not in templates["shop.prod.nightly"]["spec"]


def test_a_sensor_hears_what_serve_hears(argo: FrontDoor, api: KubernetesApi) -> None:
    settings = load_settings(start=argo.shop.folder, environ={})
    flow = settings.flows[0]
    facts = {**read_flow(flow, settings), "branch": "prod"}
    ours: list[Subscriber] = [
        of_dag(load_dag(settings, "chained"), settings.project, "prod"),
        of_flow(facts, "training/train.py", flow.read_text().splitlines()),
    ]
    for subscriber in ours:
        sensor = api.of_kind("sensors")[f"shop-prod-{subscriber.flow.lower()}"]
        filters = [one["filters"]["exprs"] for one in sensor["spec"]["dependencies"]]
        heard = [re.search(r"name == '(.+)'", one["expr"]) for exprs in filters for one in exprs]
        assert [found[1] for found in heard if found] == [wait.event for wait in subscriber.waits] != []


def test_a_run_knows_its_dag_and_owner(argo: FrontDoor, api: KubernetesApi) -> None:
    notes = api.of_kind("workflowtemplates")["shop.prod.nightly"]["metadata"]["annotations"]
    assert notes["metaflow/tags"] == '["dag:nightly", "owner:team"]'
    assert notes["metaflow/branch_name"] == "prod" and notes["dbt-flow/name"] == "nightly"


def test_a_sensor_that_somebody_deleted_is_missed(argo: FrontDoor, api: KubernetesApi) -> None:
    path = next(path for path in api.kept if path.endswith("sensors/shop-prod-train"))
    kept = api.kept.pop(path)
    try:
        assert argo.drift() == {"Train": "its trigger is gone from the scheduler"}
    finally:
        api.kept[path] = kept
