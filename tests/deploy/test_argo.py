"""Argo Workflows, as far as a cluster's API goes: what Metaflow and we send is Argo's own, and says what ``serve`` says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_of_two import change_sql, open_fleet, with_training
from front_door import FrontDoor, argo_variables
from hera.events.models import Sensor
from hera.workflows.models import CronWorkflow, WorkflowTemplate
from kubernetes_api import KubernetesApi, Request, kubernetes_api
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
        shop.close()


def writes(api: KubernetesApi, since: int) -> list[str]:
    return [f"{one.method} {'/'.join(one.path.split('/')[6:])}" for one in api.requests[since:] if one.writes]


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


def test_nothing_has_changed(argo: FrontDoor, api: KubernetesApi) -> None:
    since = len(api.requests)
    assert argo.apply() == {} and writes(api, since) == []
    assert argo.drift(code=0) == {}


@pytest.mark.parametrize("at", ["PUT cronworkflows/shop.prod.nightly", "PATCH workflowtemplates/shop.prod.nightly"])
def test_one_models_sql_killed_in_the_middle_and_applied_again(argo: FrontDoor, api: KubernetesApi, at: str) -> None:
    change_sql(argo.shop, "totals", "sum(amount)", "sum(amount) ")
    killed: list[str] = []

    def kill(request: Request) -> None:
        if not killed and writes_of(request) == at:
            killed.append(at)
            for process in argo.shop.processes():
                process.kill()
            raise ConnectionAbortedError  # the request was never answered, and did nothing

    api.on_request = kill
    try:
        assert argo.start("apply").end(300).code == -9 and killed
    finally:
        api.on_request = lambda _: None
    since = len(api.requests)
    assert argo.apply() == {"nightly": "update"}
    assert not any("chained" in write or "train" in write for write in writes(api, since))
    assert argo.drift(code=0) == {}


def writes_of(request: Request) -> str:
    return f"{request.method} {'/'.join(request.path.split('/')[6:])}"


def test_changed_and_deleted_by_hand(argo: FrontDoor, api: KubernetesApi) -> None:
    api.of_kind("cronworkflows")["shop.prod.nightly"]["spec"]["suspend"] = True
    del api.kept[next(path for path in api.kept if path.endswith("sensors/shop-prod-train"))]
    assert argo.drift() == {
        "nightly": "it was changed on the scheduler, not by dbt-flow",
        "Train": "its trigger is gone from the scheduler",
    }
    planned = {one["name"]: one["action"] for one in argo.run("plan", "--json", "--exit-code", code=1).json["flows"]}
    assert planned == {"Train": "update", "nightly": "update", "chained": "same"}


def test_no_cluster_and_no_right(argo: FrontDoor, api: KubernetesApi, tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    refused = argo.errors("drift", env={"KUBECONFIG": str(nowhere), "KUBERNETES_SERVICE_HOST": ""})
    assert "there is no cluster to talk to" in refused["deploy-unreachable"]
    nowhere.write_text(Path(argo.variables["KUBECONFIG"]).read_text().replace(api.url, "http://127.0.0.1:9"))
    assert "no answer from Kubernetes" in argo.errors("drift", env={"KUBECONFIG": str(nowhere)})["deploy-unreachable"]
    api.forbidden = ("GET",)
    try:
        assert "does not let you list" in argo.errors("drift")["deploy-forbidden"]
    finally:
        api.forbidden = ()


def test_what_is_missing_is_told_when_planning_and_all_at_once(argo: FrontDoor) -> None:
    missing = {name: "" for name in argo.variables if name.startswith("METAFLOW_ARGO_EVENTS")}
    env = {
        **missing,
        "METAFLOW_KUBERNETES_CONTAINER_IMAGE": "",
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "DBT_FLOW_STATE": "here",
    }
    done = argo.run("plan", code=2, env=env)
    for what in (
        "Metaflow's datastore is local",
        "Metaflow's default image",
        "the state is a folder of this machine",
        "the event source that listens for Metaflow's events is not set",
        "this plan cannot be applied",
    ):
        assert what in done.stderr, done.stderr


def test_removing_wants_a_yes_and_the_right(argo: FrontDoor, api: KubernetesApi) -> None:
    (argo.shop.folder / "dags/chained.yaml").unlink()
    refused = argo.errors("apply")
    assert "remove chained from argo, production?" in refused["usage"]
    api.forbidden = ("DELETE",)
    try:
        assert argo.run("destroy", "chained", "--yes", code=2).stderr.count("error:") == 1
    finally:
        api.forbidden = ()
    assert argo.run("destroy", "--yes").stdout == "argo, shop, production: 3 removed\n"
    assert {plural: api.of_kind(plural) for plural in ("workflowtemplates", "cronworkflows", "sensors")} == {
        "workflowtemplates": {},
        "cronworkflows": {},
        "sensors": {},
    }
