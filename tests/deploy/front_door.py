"""``dbt-flow deploy`` as a person types it, in a fleet that deploys to servers on loopback."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.moto import Moto
from shop import Ran, Shop, Started

IMAGE = "freight/dbt-flow:1"


@dataclass
class FrontDoor:
    """The command line, with the variables that point it at the servers."""

    shop: Shop
    to: str
    variables: Mapping[str, str]

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Started:
        command = (sys.executable, "-m", "dbt_flow", "deploy", *words)
        to = () if any(word.endswith(".json") for word in words) else ("--to", self.to)
        return self.shop.start(*command, *to, env={**self.variables, **(env or {})})

    def run(self, *words: str, code: int = 0, env: Mapping[str, str] | None = None) -> Ran:
        done = self.start(*words, env=env).end(300)
        assert done.code == code, f"exit {done.code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def apply(self, *words: str, code: int = 0) -> dict[str, Any]:
        """What became of each flow that was not the same: ``{"nightly": "update"}``."""
        document = self.run("apply", "--json", *words, code=code).json
        return {one["name"]: one["action"] if one["done"] else one["error"]["code"] for one in document["flows"]}

    def drift(self, code: int = 1) -> dict[str, str]:
        return {one["name"]: one["what"] for one in self.run("drift", "--json", code=code).json["flows"]}

    def errors(self, *words: str, code: int = 2, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """The refusals, by code."""
        document = self.run(*words, "--json", code=code, env=env).json
        assert all(one["hint"] for one in document["errors"]), document["errors"]
        return {one["code"]: one["message"] for one in document["errors"]}


def argo_variables(aws: Moto, kubeconfig: Path) -> dict[str, str]:
    """What Metaflow and dbt-flow need for Argo."""
    return {
        **aws.s3_datastore,
        "KUBECONFIG": str(kubeconfig),
        "DBT_FLOW_STATE": "s3://freight/state",
        "METAFLOW_KUBERNETES_NAMESPACE": "default",
        "METAFLOW_KUBERNETES_CONTAINER_IMAGE": IMAGE,
        "METAFLOW_ARGO_WORKFLOWS_USE_SCHEDULES": "1",
        "METAFLOW_ARGO_EVENTS_EVENT": "metaflow-event",
        "METAFLOW_ARGO_EVENTS_EVENT_BUS": "default",
        "METAFLOW_ARGO_EVENTS_EVENT_SOURCE": "argo-events-webhook",
        "METAFLOW_ARGO_EVENTS_SERVICE_ACCOUNT": "operate-workflow-sa",
    }


def step_functions_variables(aws: Moto) -> dict[str, str]:
    """The roles, and a queue of AWS Batch, made first."""
    iam, batch, ec2 = aws.client("iam"), aws.client("batch"), aws.client("ec2")
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = iam.create_role(RoleName="tasks", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    groups = [one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]][:1]
    compute = batch.create_compute_environment(
        computeEnvironmentName="fargate",
        type="MANAGED",
        state="ENABLED",
        serviceRole=role,
        computeResources={"type": "FARGATE", "maxvCpus": 16, "subnets": subnets, "securityGroupIds": groups},
    )["computeEnvironmentArn"]
    order = [{"order": 1, "computeEnvironment": compute}]
    queue = batch.create_job_queue(jobQueueName="queue", state="ENABLED", priority=1, computeEnvironmentOrder=order)
    return {
        **aws.s3_datastore,
        "DBT_FLOW_STATE": "s3://freight/state",
        "METAFLOW_BATCH_JOB_QUEUE": queue["jobQueueArn"],
        "METAFLOW_BATCH_CONTAINER_IMAGE": IMAGE,
        "METAFLOW_ECS_S3_ACCESS_IAM_ROLE": role,
        "METAFLOW_ECS_FARGATE_EXECUTION_ROLE": role,
        "METAFLOW_SFN_IAM_ROLE": role,
        "METAFLOW_EVENTS_SFN_ACCESS_IAM_ROLE": role,
    }
