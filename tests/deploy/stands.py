"""Both schedulers as tests have them, by one set of words: Argo's API on loopback, and Step Functions on moto behind a gate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from aws_gate import AwsGate, aws_gate
from fleet_of_two import CHAINED, NIGHTLY, TRAIN, open_fleet, with_training
from front_door import FrontDoor, argo_variables, step_functions_variables
from kubernetes_api import KubernetesApi, kubernetes_api
from servers.moto import BUCKET, Moto, moto_server

LISTENS = '@trigger_on_finish(flow="Nightly")'
_SENT = ("workflowtemplates", "cronworkflows", "sensors")


class Watched(Protocol):
    """What tests see of a scheduler's requests."""

    writes: Any
    forbidden: tuple[str, ...]
    on_write: Any


@dataclass
class Stand:
    """A scheduler with a fleet that is deployed to it."""

    door: FrontDoor
    aws: Moto
    watched: Watched
    nightly: dict[str, object]
    chained: dict[str, object]
    train: str

    def write(self, **dags: dict[str, object]) -> None:
        """DAG files, as they are now."""
        for name, keys in {"nightly": self.nightly, "chained": self.chained, **dags}.items():
            self.door.shop.dag(name, **keys)

    def state_key(self) -> str:
        """Where in the bucket it is kept what was applied."""
        [found] = (key for key in self.aws.objects("state/deployments/") if key.endswith("production/applied.json"))
        return found

    def lose_state(self) -> None:
        """All that says what was applied is gone."""
        for key in self.aws.objects("state/deployments/"):
            self.aws.client().delete_object(Bucket=BUCKET, Key=key)

    def definitions(self) -> dict[str, str]:
        """What the scheduler would do, by the flow's name there, in lower case."""
        raise NotImplementedError

    def edit(self, flow: str) -> None:
        """Somebody stops a flow's schedule."""
        raise NotImplementedError

    def delete(self, flow: str) -> None:
        """Somebody deletes a flow's definition."""
        raise NotImplementedError


@dataclass
class ArgoStand(Stand):
    """Argo Workflows' API."""

    watched: KubernetesApi
    steps: ClassVar = {
        *("PUT workflowtemplates/shop.prod.nightly", "PUT cronworkflows/shop.prod.nightly"),
        *("PATCH cronworkflows/shop.prod.nightly", "PATCH workflowtemplates/shop.prod.nightly"),
        *("POST workflowtemplates", "PUT workflowtemplates/shop.prod.train", "POST sensors"),
        *("PUT sensors/shop-prod-train", "PATCH workflowtemplates/shop.prod.train"),
        *("DELETE sensors/shop-prod-chained", "DELETE workflowtemplates/shop.prod.chained"),
    }
    """Of an update of nightly, a create of Train and a removal of chained; Train is replaced when it is half-made."""
    listing = "GET workflowtemplates"
    updating = "PUT workflowtemplates"
    removing = "DELETE workflowtemplates"
    nobody: ClassVar = {"KUBECONFIG": "/nowhere/kubeconfig", "KUBERNETES_SERVICE_HOST": ""}
    unset = ("METAFLOW_ARGO_EVENTS_EVENT_SOURCE", "the event source that listens for Metaflow's events is not set")
    nobody_says = ("deploy-unreachable", "there is no cluster to talk to")

    def definitions(self) -> dict[str, str]:
        found = {}
        for name, template in self.watched.of_kind(_SENT[0]).items():
            beside = [
                self.watched.of_kind(kind).get(name.replace(".", "-") if kind == "sensors" else name) for kind in _SENT[1:]
            ]
            found[name] = json.dumps([template["spec"], *(one and one["spec"] for one in beside)])
        return found

    def edit(self, flow: str) -> None:
        self.watched.of_kind("cronworkflows")[f"shop.prod.{flow}"]["spec"]["suspend"] = True

    def delete(self, flow: str) -> None:
        del self.watched.kept[next(path for path in self.watched.kept if path.endswith(f"templates/shop.prod.{flow}"))]

    def unreachable(self, folder: Path) -> dict[str, str]:
        """Variables with which nobody answers."""
        file = folder / "kubeconfig-of-nobody"
        file.write_text(Path(self.door.variables["KUBECONFIG"]).read_text().replace(self.watched.url, "http://127.0.0.1:9"))
        return {"KUBECONFIG": str(file)}


@dataclass
class StepFunctionsStand(Stand):
    """AWS Step Functions and EventBridge."""

    watched: AwsGate
    steps: ClassVar = {
        *("UpdateStateMachine shop.prod.Nightly", "PutRule shop.prod.Nightly", "PutTargets shop.prod.Nightly"),
        *("TagResource shop.prod.Nightly", "CreateStateMachine shop.prod.Train", "UpdateStateMachine shop.prod.Train"),
        *("PutRule shop.prod.Train", "PutTargets shop.prod.Train", "TagResource shop.prod.Train"),
        "DeleteStateMachine shop.prod.Chained",
    }
    """Of an update of nightly, a create of Train and a removal of chained; Train is updated when it is half-made."""
    listing = "ListStateMachines"
    updating = "UpdateStateMachine"
    removing = "DeleteStateMachine"
    nobody: ClassVar = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "DBT_FLOW_STATE": "state"}
    unset = ("METAFLOW_SFN_IAM_ROLE", "the role that Step Functions takes is not set")
    nobody_says = ("deploy-forbidden", "credentials")

    def definitions(self) -> dict[str, str]:
        client, events = self.aws.client("stepfunctions"), self.aws.client("events")
        rules = {one["Name"]: one["ScheduleExpression"] for one in events.list_rules()["Rules"]}
        found = {}
        for machine in client.list_state_machines()["stateMachines"]:
            there = client.describe_state_machine(stateMachineArn=machine["stateMachineArn"])
            found[machine["name"].lower()] = json.dumps([json.loads(there["definition"]), rules.get(machine["name"])])
        return found

    def edit(self, flow: str) -> None:
        self.aws.client("events").disable_rule(Name=f"shop.prod.{flow.capitalize()}")

    def delete(self, flow: str) -> None:
        client = self.aws.client("stepfunctions")
        arns = {one["name"].lower(): one["stateMachineArn"] for one in client.list_state_machines()["stateMachines"]}
        client.delete_state_machine(stateMachineArn=arns[f"shop.prod.{flow}"])

    def unreachable(self, folder: Path) -> dict[str, str]:
        """Variables with which nobody answers."""
        nobody: ClassVar = {"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
        return {**nobody, "DBT_FLOW_STATE": str(folder / "state")}


@contextmanager
def argo_stand(folder: Path) -> Iterator[ArgoStand]:
    """Argo with a fleet of two DAGs and an ML flow that start by a schedule, an event and an end; nothing is applied yet."""
    with moto_server(folder) as aws, kubernetes_api() as api:
        chained: dict[str, object] = {**CHAINED, "trigger": {"event": "landed"}}
        shop = open_fleet(folder / "fleet", chained=chained)
        with_training(shop)
        door = FrontDoor(shop, "argo", argo_variables(aws, api.kubeconfig(folder / "kubeconfig")))
        try:
            yield ArgoStand(door, aws, api, dict(NIGHTLY), chained, TRAIN)
        finally:
            door.close()


@contextmanager
def step_functions_stand(folder: Path) -> Iterator[StepFunctionsStand]:
    """Step Functions with the same fleet on schedules and by hand, since it knows no events."""
    nightly: dict[str, object] = {**NIGHTLY, "trigger": {"schedule": "30 2 * * 1"}, "timezone": "Asia/Kolkata"}
    chained: dict[str, object] = {"owner": "team", "select": "report"}
    train = TRAIN.replace(LISTENS, '@schedule(cron="0 6 * * ? *")').replace("trigger_on_finish", "schedule")
    with moto_server(folder) as aws, aws_gate(aws) as gate:
        shop = open_fleet(folder / "fleet", nightly=nightly, chained=chained)
        with_training(shop, train)
        door = FrontDoor(shop, "step-functions", {**step_functions_variables(aws), **gate.variables})
        try:
            yield StepFunctionsStand(door, aws, gate, nightly, chained, train)
        finally:
            door.close()
