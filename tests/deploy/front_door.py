"""``dbt-flow deploy`` as a person types it, in a fleet that deploys to servers on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from servers.moto import Moto
from shop import Ran, Shop

IMAGE = "freight/dbt-flow:1"


_WARM = """
import json, os, sys
import boto3, dbt.adapters.duckdb, dbt.cli.main, kubernetes, rich.table
boto3.client("s3"), boto3.client("stepfunctions"), boto3.client("events")  # it reads their models
for line in sys.stdin:
    said = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        for number, name in ((0, os.devnull), (1, said["out"]), (2, said["err"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
        from dbt_flow.cli import main
        code = main(said["words"])
        sys.stdout.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""What a command imports, imported once: commands are forks of it. It knows nothing of dbt-flow, nor of Metaflow."""


@dataclass
class FrontDoor:
    """The command line, with the variables that point it at the servers. One command at a time."""

    shop: Shop
    to: str
    variables: Mapping[str, str]
    running: int = 0
    """The process of the command that goes on."""

    @cached_property
    def warm(self) -> subprocess.Popen[str]:
        env = self.shop.environment(self.variables)
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", _WARM]
        return subprocess.Popen(command, cwd=self.shop.folder, env=env, stdin=pipe, stdout=pipe, text=True)

    def close(self) -> None:
        """The shop, and what was imported for it."""
        if "warm" in self.__dict__:
            for stream in (self.warm.stdin, self.warm.stdout):
                if stream:
                    stream.close()
            self.warm.wait(60)
        self.shop.close()

    def kill(self) -> None:
        """``kill -9`` of the command that goes on, and of nothing else."""
        until = time.monotonic() + 60
        while not self.running and time.monotonic() < until:
            time.sleep(0.01)  # it has been heard of by its deeds before its number has come
        assert self.running, "no number: 0 would be all of us"
        os.kill(self.running, signal.SIGKILL)

    def ended(self, *words: str) -> Ran:
        """A command, to its end."""
        assert self.warm.stdin and self.warm.stdout
        out, err = self.shop.folder / "said.out", self.shop.folder / "said.err"
        request = {"words": ["deploy", *words, *self._to(words)], "out": str(out), "err": str(err)}
        began, self.running = time.monotonic(), 0
        self.warm.stdin.write(json.dumps(request) + "\n")
        self.warm.stdin.flush()
        self.running = int(self.warm.stdout.readline())
        code = int(self.warm.stdout.readline())
        return Ran(code, out.read_text(), err.read_text(), time.monotonic() - began)

    def elsewhere(self, *words: str, env: Mapping[str, str] | None = None) -> Ran:
        """The same as a process of its own: beside another, or with other variables."""
        command = (sys.executable, "-m", "dbt_flow", "deploy", *words, *self._to(words))
        return self.shop.start(*command, env={**self.variables, **(env or {})}).end(300)

    def _to(self, words: tuple[str, ...]) -> tuple[str, ...]:
        saved = words[0] == "apply" and any(word.endswith(".json") for word in words)
        return () if saved else ("--to", self.to)

    def run(self, *words: str, code: int = 0, env: Mapping[str, str] | None = None) -> Ran:
        """A command that ends as it should."""
        done = self.ended(*words) if env is None else self.elsewhere(*words, env=env)
        assert done.code == code, f"exit {done.code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def apply(self, *words: str, code: int = 0) -> dict[str, Any]:
        """What became of each flow that was not the same: ``{"nightly": "update"}``."""
        document = self.run("apply", "--json", *words, code=code).json
        return {one["name"]: one["action"] if one["done"] else one["error"]["code"] for one in document["flows"]}

    def plan(self, *words: str, code: int = 0) -> dict[str, tuple[str, str]]:
        """Of each flow the action, and why."""
        document = self.run("plan", "--json", *words, code=code).json
        return {one["name"]: (one["action"], "; ".join(one["because"])) for one in document["flows"]}

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
