"""AWS Step Functions: a flow is a state machine, with an EventBridge rule for its schedule.

Metaflow's own ``create`` makes them; Metaflow lists nothing, so what is there is read with boto3. The marks are the state
machine's tags: AWS keeps those when the machine is updated, and the seal says whether they belong to what is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config
from metaflow.plugins.aws.step_functions.event_bridge_client import format as rule_name

from dbt_flow.deploy.creating import create
from dbt_flow.deploy.expressible import refused
from dbt_flow.deploy.nouns import Seen, Space, Wanted, counted, digest, marks_of
from dbt_flow.deploy.schedulers import Phase
from dbt_flow.deploy.surroundings import (
    carrying_problems,
    configured,
    datastore_problems,
    image_problems,
    missing,
    said_of_remote,
    setting,
)
from dbt_flow.errors import DbtFlowError, InputError, RunFailed
from dbt_flow.settings import Settings

COMMAND = "step-functions"
PREFIX = "dbt-flow:"
"""Of the tags that are marks."""

_AT_ONCE = 8
_ROLES = {
    "SFN_IAM_ROLE": "the role that Step Functions takes",
    "EVENTS_SFN_ACCESS_IAM_ROLE": "the role that EventBridge takes",
    "BATCH_JOB_QUEUE": "the queue of AWS Batch",
    "ECS_S3_ACCESS_IAM_ROLE": "the role of the tasks",
}
_SURROUNDINGS = (
    *("DEFAULT_DATASTORE", "DATASTORE_SYSROOT_S3", "SERVICE_INTERNAL_URL", "BATCH_CONTAINER_IMAGE", *_ROLES),
    *("ECS_FARGATE_EXECUTION_ROLE", "SFN_STATE_MACHINE_PREFIX", "SFN_DYNAMO_DB_TABLE", "SFN_COMPRESS_STATE_MACHINE"),
)
_DENIED = (
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnrecognizedClientException", "ExpiredToken"),
    *("ExpiredTokenException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch"),
)
_GONE = ("StateMachineDoesNotExist", "ResourceNotFoundException", "ResourceNotFound")


class StepFunctionsScheduler:
    """See :class:`~dbt_flow.deploy.schedulers.Scheduler`."""

    name, title = "step-functions", "AWS Step Functions"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._clients: tuple[Any, Any] | None = None

    def surroundings(self) -> Mapping[str, str]:
        """See the protocol."""
        return {**configured(_SURROUNDINGS), **said_of_remote(self.settings)}

    def problems(self, wanted: Sequence[Wanted]) -> list[DbtFlowError]:
        """See the protocol."""
        return [
            *datastore_problems(self.title, ("s3",)),
            *carrying_problems(self.settings, wanted),
            *image_problems(self.settings, wanted, "BATCH_CONTAINER_IMAGE", self.title),
            *missing(_ROLES, wanted),
            *(error for one in wanted for error in refused(one, COMMAND)),
        ]

    def current(self, space: Space, phase: Phase) -> Mapping[str, Seen]:
        """See the protocol."""
        states, _ = self._aws
        with _answers("list state machines"):
            pages = states.get_paginator("list_state_machines").paginate()
            machines = [machine for page in pages for machine in page["stateMachines"]]
        prefix = str(setting("SFN_STATE_MACHINE_PREFIX") or "")
        ours = f"{prefix}_{space.project}" if prefix else space.project
        # A name of another project is left alone unread; one without a dot may be an ML flow's without a project.
        near = [m for m in machines if m["name"].startswith(f"{ours}.") or (space.branch is None and "." not in m["name"])]
        phase(f"reading {counted(len(near), 'state machine')}")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            seen = pool.map(lambda machine: self._look(machine["name"], machine["stateMachineArn"], space), near)
            return {one.flow: one for one in seen if one is not None}

    def put(self, wanted: Wanted, space: Space, before: Seen | None, phase: Phase) -> Seen:
        """See the protocol."""
        phase("Metaflow makes the state machine and uploads the code")
        words = ["--authorize", before.token] if before is not None and before.marks and before.token else []
        name = create(self.settings, wanted, space, COMMAND, words)
        phase("leaving the marks")
        arn = self._arn(name)
        seen = self._look(name, arn, None)
        if seen is None:
            raise RunFailed("deploy-failed", f"{wanted.name}: Metaflow made it, and the state machine {name} is not there")
        marks = marks_of(wanted, space, seen.seal)
        tags = [{"key": f"{PREFIX}{key}", "value": value or "-"} for key, value in marks.items()]
        old = [f"{PREFIX}{key}" for key in seen.marks if key not in marks]
        with _answers(f"tag the state machine {name}"):
            if old:
                self._aws[0].untag_resource(resourceArn=arn, tagKeys=old)
            self._aws[0].tag_resource(resourceArn=arn, tags=tags)
        found = self._look(name, arn, None)
        assert found is not None  # noqa: S101 - it was there a moment ago, or AWS has said so
        return found

    def remove(self, seen: Seen, phase: Phase) -> None:
        """See the protocol."""
        phase("taking away schedule and state machine")
        states, events = self._aws
        rule = rule_name(seen.resource)
        with _answers(f"delete the rule {rule}", gone_is_good=True):
            events.remove_targets(Rule=rule, Ids=[rule])
            events.delete_rule(Name=rule)
        with _answers(f"delete the state machine {seen.resource}", gone_is_good=True):
            states.delete_state_machine(stateMachineArn=self._arn(seen.resource))

    # ---- AWS

    @property
    def _aws(self) -> tuple[Any, Any]:
        """Step Functions and EventBridge."""
        if self._clients is None:
            config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 4})
            with _answers("find the credentials"):
                self._clients = boto3.client("stepfunctions", config=config), boto3.client("events", config=config)
        return self._clients

    def _arn(self, name: str) -> str:
        with _answers("list state machines"):
            pages = self._aws[0].get_paginator("list_state_machines").paginate()
            found = (
                machine["stateMachineArn"] for page in pages for machine in page["stateMachines"] if machine["name"] == name
            )
            return str(next(found, ""))

    def _look(self, name: str, arn: str, space: Space | None) -> Seen | None:
        """One state machine; None for one that is not Metaflow's, or not of the space."""
        states, events = self._aws
        with _answers(f"read the state machine {name}"):
            machine = _or_none(lambda: states.describe_state_machine(stateMachineArn=arn))
            if machine is None:
                return None
            tags = states.list_tags_for_resource(resourceArn=arn)["tags"]
        marks = {tag["key"].removeprefix(PREFIX): tag["value"] for tag in tags if tag["key"].startswith(PREFIX)}
        definition = json.loads(machine["definition"])
        facts = _metaflow_facts(definition)
        if facts is None or (space is not None and not _is_of(name, facts, marks, space)):
            return None
        rule = rule_name(name)
        with _answers(f"read the rule {rule}"):
            found = _or_none(lambda: events.describe_rule(Name=rule))
            targets = events.list_targets_by_rule(Rule=rule)["Targets"] if found else []
        schedule = [found["ScheduleExpression"], found["State"], sorted(one["Arn"] for one in targets)] if found else None
        return Seen(
            flow=facts["metaflow.flow_name"],
            resource=name,
            seal=digest(definition, machine["roleArn"], schedule),
            marks=marks,
            token=facts.get("metaflow.production_token"),
        )


def _metaflow_facts(definition: Mapping[str, Any]) -> Mapping[str, str] | None:
    """What Metaflow wrote into the first state's parameters."""
    start = definition.get("States", {}).get(definition.get("StartAt"), {})
    facts = start.get("Parameters", {}).get("Parameters", {})
    return facts if isinstance(facts, dict) and "metaflow.flow_name" in facts else None


def _is_of(name: str, facts: Mapping[str, str], marks: Mapping[str, str], space: Space) -> bool:
    if "project" in marks:
        return marks["project"] == space.project and marks.get("space") == space.name
    # Metaflow cuts long names, and then a digest stands for the flow's.
    start = f"{space.project}.{space.metaflow_branch}."
    return start in name and facts["metaflow.flow_name"].startswith(name.partition(start)[2][:20].partition("-")[0])


def _or_none(call: Any) -> Any:
    try:
        return call()
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return None
        raise


@contextmanager
def _answers(what: str, *, gone_is_good: bool = False) -> Iterator[None]:
    """What AWS answers, as one error."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if gone_is_good and code in _GONE:
            return
        if code in _DENIED:
            hint = "see who you are: aws sts get-caller-identity; then ask for the right"
            raise InputError("deploy-forbidden", f"AWS does not let you {what}: {said or code}", hint=hint) from None
        raise RunFailed("deploy-failed", f"AWS answers {code} to {what}: {said}", hint="apply again") from None
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
        hint = "log in: aws sso login, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise InputError("deploy-forbidden", f"there are no credentials for AWS: {error}", hint=hint) from None
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        hint = "is AWS_DEFAULT_REGION set, and the network there? aws sts get-caller-identity"
        raise InputError("deploy-unreachable", f"AWS could not be asked to {what}: {error}", hint=hint) from None
