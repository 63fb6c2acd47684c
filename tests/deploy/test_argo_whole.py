"""A fleet that waits, on Argo from end to end: what is deployed, which workflow an event or the clock starts, and its pod."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from argo_events import SensorPod
from argo_pod import attempts_ok, ended, far_from_now
from fleet_of_two import open_fleet
from front_door import FrontDoor, argo_variables
from hera.events.models import Sensor
from hera.workflows.models import CronWorkflow
from kubernetes_api import KubernetesApi, kubernetes_api
from servers.moto import Moto, moto_server

sys.path.append(str(Path(__file__).parents[1] / "remote"))
from pod import Cluster, Ended, python_without_the_checkout

from dbt_flow.pipeline.first_step import CLOCK

TWICE = {"owner": "team", "select": "customers", "trigger": {"schedule": ["0 6 * * 1-5", "0 9 * * 7"]}}
BOTH = {
    "owner": "team",
    "select": "customers",
    "trigger": {"after": ["nightly", "weekly"], "within": "2h", "at_latest": far_from_now("Europe/Berlin")},
    "timezone": "Europe/Berlin",
}
LATE = {
    "owner": "team",
    "select": "orders",
    "trigger": {"event": {"name": "landed", "params": {"as_of": "day"}}, "at_latest": far_from_now()},
    "params": {"as_of": {"type": "date", "default": "today"}},
}
EITHER = {"owner": "team", "select": "totals", "trigger": {"after": {"any": ["nightly", "weekly"]}}, "isolate": "all"}


@dataclass
class Deployed:
    """The fleet, the cluster's API, the bucket, and a cluster that runs pods."""

    door: FrontDoor
    api: KubernetesApi
    aws: Moto
    cluster: Cluster

    def sensor(self, dag: str) -> SensorPod:
        return SensorPod(self.api.of_kind("sensors")[f"shop-prod-{dag}"])

    def pod(self, dag: str, step: str, workflow: str, parameters: dict[str, str]) -> Ended:
        """The first pod of a workflow that was started with these parameters."""
        template = self.api.of_kind("workflowtemplates")[f"shop.prod.{dag}"]
        container = next(one for one in template["spec"]["templates"] if one["name"] == step)["container"]
        names = {one["value"]: one["name"] for one in container["env"] if "workflow.parameters" in str(one.get("value"))}
        told = {name: parameters[value[len("{{workflow.parameters.") : -2]] for value, name in names.items()}
        fixed = {"ARGO_WORKFLOW_TEMPLATE": template["metadata"]["name"], "ARGO_WORKFLOW_NAMESPACE": "default"}
        cluster = replace(self.cluster, template=template, variables={**self.cluster.variables, **told, **fixed})
        return cluster.run(step, workflow)

    def result(self, number: str) -> dict[str, Any]:
        [raw] = (raw for key, raw in self.aws.objects("state/runs/").items() if key.endswith(f"{number}/result.json"))
        found: dict[str, Any] = json.loads(raw)
        return found

    def turns(self, dag: str) -> list[dict[str, Any]]:
        return [json.loads(raw) for raw in self.aws.objects(f"state/awaited/default/shop.prod.{dag}/").values()]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("waiting")
    with moto_server(folder) as aws, kubernetes_api() as api:
        shop = open_fleet(folder / "fleet", nightly=TWICE, chained={"owner": "team", "select": "orders", "trigger": "none"})
        (shop.folder / "dags/chained.yaml").rename(shop.folder / "dags/weekly.yaml")
        for name, keys in {"both": BOTH, "late": LATE, "either": EITHER}.items():
            shop.dag(name, **keys)
        door = FrontDoor(shop, "argo", argo_variables(aws, api.kubeconfig(folder / "kubeconfig")))
        assert set(door.apply().values()) == {"create"}
        programs, packages = python_without_the_checkout(folder / "image")
        yield Deployed(door, api, aws, Cluster({}, folder, programs, packages, aws.s3_datastore))
        shop.close()


def written(api: KubernetesApi, since: int) -> list[str]:
    return [f"{one.method} {one.path}" for one in api.requests[since:] if one.method != "GET"]


def test_each_event_starts_a_workflow_and_so_does_the_clock(there: Deployed) -> None:
    for dag in ("both", "late", "either"):
        sensor = there.api.of_kind("sensors")[f"shop-prod-{dag}"]
        read = Sensor.model_validate(sensor)
        [trigger] = read.spec.triggers
        names = [one.name for one in read.spec.dependencies]
        assert (trigger.at_least_once, trigger.template.conditions) == (True, " || ".join(names))
        assert trigger.template.k8s.parameters, "what Metaflow says stays"
    clocks = there.api.of_kind("cronworkflows")
    assert set(clocks) == {"shop.prod.nightly", "shop.prod.both", "shop.prod.late"}
    assert clocks["shop.prod.nightly"]["spec"]["schedules"] == ["0 6 * * 1-5", "0 9 * * 0"]
    both = CronWorkflow.model_validate(clocks["shop.prod.both"]).spec
    assert (both.schedules[1:], both.timezone, both.suspend) == (["*/30 * * * *"], "Europe/Berlin", False)
    assert both.concurrency_policy == "Forbid", "looks at the clock do not queue up behind a long run"
    assert both.schedules[0] in ("0 9 * * *", "0 21 * * *")
    kept = both.model_dump(by_alias=True, exclude_none=True, mode="json")
    assert set(kept) == set(clocks["shop.prod.both"]["spec"])
    assert both.workflow_spec.workflow_template_ref.name == "shop.prod.both"
    for dag in ("both", "late", "either"):
        [turn] = there.turns(dag)
        assert turn["ledger"]["began"] and turn["ledger"]["standing"]["arrived"] == {}, "it listens since it is deployed"


def test_nothing_has_changed_and_what_is_changed_by_hand_is_told(there: Deployed) -> None:
    since = len(there.api.requests)
    assert there.door.apply() == {} and written(there.api, since) == [] and there.door.drift(code=0) == {}
    template = there.api.of_kind("sensors")["shop-prod-both"]["spec"]["triggers"][0]["template"]
    meant, template["conditions"] = template["conditions"], template["conditions"].replace("||", "&&")
    clock = next(path for path in there.api.kept if path.endswith("cronworkflows/shop.prod.late"))
    gone = there.api.kept.pop(clock)
    assert there.door.drift() == {
        "both": "it was changed on the scheduler, not by dbt-flow",
        "late": "its schedule is gone from the scheduler",
    }
    template["conditions"] = meant
    there.api.kept[clock] = gone


def test_an_event_of_several_waits_in_its_pod_and_the_next_one_builds(there: Deployed) -> None:
    sensor = there.sensor("both")
    first = sensor.hear(ended("Nightly/argo-shop.prod.nightly-1") | {"project_name": "shop", "branch_name": "prod"} | AUTO)
    assert first is not None and sorted(value == "null" for value in first.values()) == [False, True]
    waits = there.pod("both", "end", "shop.prod.both-one", first)
    assert waits.code == 0, waits.said
    assert "waiting for weekly (nothing has come of it yet)" in waits.said
    assert there.result("argo-shop.prod.both-one")["status"] == "cancelled"
    second = sensor.hear(ended("Weekly/argo-shop.prod.weekly-1") | {"project_name": "shop", "branch_name": "prod"} | AUTO)
    assert second is not None
    builds = there.pod("both", "end", "shop.prod.both-two", second)
    assert builds.code == 0, builds.said
    done = there.result("argo-shop.prod.both-two")
    names = "after Nightly/argo-shop.prod.nightly-1 and after Weekly/argo-shop.prod.weekly-1"
    assert (done["status"], done["trigger"]) == ("success", names)
    ends = [attempts_ok(pod.folder, "argo-shop.prod.both-") for pod in (waits, builds)]
    assert ends == [["False"], ["True"]], "for Metaflow the one that waited is no good run"


def test_the_clock_finds_nothing_to_do(there: Deployed) -> None:
    spec = there.api.of_kind("cronworkflows")["shop.prod.late"]["spec"]["workflowSpec"]
    said = {one["name"]: one["value"] for one in spec["arguments"]["parameters"]}
    assert [json.loads(value) for value in said.values()] == [{"name": CLOCK}]
    looked = there.pod("late", "end", "shop.prod.late-1763", said)
    assert looked.code == 0 and "nothing is due" in looked.said, looked.said
    assert not [key for key in there.aws.objects("state/runs/") if "late-1763" in key]


def test_an_event_fills_parameters_and_one_from_elsewhere_is_none(there: Deployed) -> None:
    sensor = there.sensor("late")
    assert sensor.hear({"name": "another", "day": "2026-11-01"}) is None
    found = sensor.hear({"name": "landed", "id": "1", "timestamp": int(time.time()), "day": "2026-11-01"})
    assert found is not None and found["as_of"] == '"2026-11-01"'
    assert json.loads(next(value for name, value in found.items() if name.startswith("landed")))["id"] == "1"


def test_of_several_steps_what_comes_twice_ends_in_the_first(there: Deployed) -> None:
    event = ended("Nightly/argo-shop.prod.nightly-2") | {"project_name": "shop", "branch_name": "prod"} | AUTO
    found = there.sensor("either").hear(event)
    assert found is not None
    [path] = list(there.aws.objects("state/awaited/default/shop.prod.either/"))
    document = json.loads(there.aws.objects(path)[path])
    heard = {event["name"]: [["Nightly/argo-shop.prod.nightly-2", event["timestamp"], "Either/argo-other"]]}
    document["ledger"]["heard"] = heard
    there.aws.client().put_object(Bucket="freight", Key=path, Body=json.dumps(document).encode())
    again = there.pod("either", "start", "shop.prod.either-two", found)
    assert again.code != 0 and "was heard before, by Either/argo-other" in again.said
    assert there.result("argo-shop.prod.either-two")["status"] == "cancelled"


def test_metaflows_own_command_refuses_what_it_would_lose(there: Deployed) -> None:
    shop = there.door.shop
    done = shop.start(*shop.metaflow("both", "argo-workflows", "create"), env=dict(there.door.variables)).end()
    assert done.code == 2 and "dbt-flow deploy apply --to argo" in done.stderr, done.stderr


def test_before_argo_3_6_there_is_one_schedule(there: Deployed) -> None:
    refused = there.door.run("plan", "--json", code=2, env={"METAFLOW_ARGO_WORKFLOWS_USE_SCHEDULES": ""}).json["errors"]
    assert {(one["code"], one["file"]) for one in refused} == {
        ("not-on-scheduler", "dags/nightly.yaml"),
        ("not-on-scheduler", "dags/both.yaml"),
    }
    assert all("METAFLOW_ARGO_WORKFLOWS_USE_SCHEDULES=1" in one["hint"] for one in refused)


def test_what_was_heard_goes_with_it(there: Deployed) -> None:
    assert there.door.run("destroy", "--yes").stdout == "argo, shop, production: 5 removed\n"
    assert there.api.kept == {} and there.aws.objects("state/awaited/") == {}


AUTO = {"auto-generated-by-metaflow": "True"}
