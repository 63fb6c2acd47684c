"""What is said to Argo and Argo Events beyond what Metaflow says, as values: :mod:`.argo` sends it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dbt_flow.deploy.nouns import Wanted
from dbt_flow.deploy.surroundings import setting
from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.pipeline.first_step import CLOCK
from dbt_flow.spec.schedulers import clock_of, schedules_of

API_VERSION = "argoproj.io/v1alpha1"
_CLOCK_LATE = 3540  # seconds that a look at the clock may be late, as Metaflow has it for schedules
_CLOCKS_KEPT = 20  # looks, to be seen in Argo's own lists


def cron_policy(wanted: Wanted) -> dict[str, Any]:
    """Of a DAG's CronWorkflow: ``overlap``, and a time zone that does not depend on the controller's clock."""
    if wanted.dag is None:
        return {}
    skip = (wanted.dag.overlap or wanted.dag.default_overlap) == "skip"
    crons = schedules_of(wanted.dag)
    more = {"schedules": list(crons)} if len(crons) > 1 else {}  # Metaflow has said the first
    return {"concurrencyPolicy": "Forbid" if skip else "Allow", "timezone": wanted.dag.timezone, **more}


def template_policy(wanted: Wanted, name: str) -> dict[str, Any]:
    """Of a DAG's template: with ``overlap: queue`` one run at a time, the others wait."""
    if wanted.dag is None or (wanted.dag.overlap or wanted.dag.default_overlap) == "skip":
        return {}
    mutex = {"name": name}
    return {"synchronization": {"mutexes": [mutex]} if setting("ARGO_WORKFLOWS_USE_SCHEDULES") else {"mutex": mutex}}


def too_many_crons(wanted: Wanted) -> list[DbtFlowError]:
    """A CronWorkflow has one schedule, or a list of them since Argo Workflows 3.6, and Metaflow is told which."""
    if wanted.dag is None or setting("ARGO_WORKFLOWS_USE_SCHEDULES"):
        return []
    start = wanted.dag.trigger
    if max(len(start.schedule), len(clock_of(wanted.dag))) < 2:
        return []
    key = "trigger.schedule" if start.schedule else "trigger.within"
    what = "several schedules" if start.schedule else "within together with at_latest, which are two schedules,"
    hint = "from 3.6 on: set METAFLOW_ARGO_WORKFLOWS_USE_SCHEDULES=1; else keep one of them"
    message = f"Argo Workflows before 3.6 cannot express {what}, and this one is said to be older"
    return [InputError("not-on-scheduler", message, place=wanted.dag.place(key), hint=hint)]


def each_event(sensor: Mapping[str, Any]) -> dict[str, Any]:
    """Of the Sensor: any event starts a workflow, and each at least once. Metaflow's waits for all, and forgets a failed start.

    An event that has not come leaves its parameter at the default that Metaflow gave it.
    """
    condition = " || ".join(str(one["name"]) for one in sensor["spec"]["dependencies"])
    triggers = sensor["spec"]["triggers"]
    return {
        "triggers": [{**one, "template": {**one["template"], "conditions": condition}, "atLeastOnce": True} for one in triggers]
    }


def clock_workflow(name: str, crons: Sequence[str], zone: str, sensor: Mapping[str, Any]) -> dict[str, Any]:
    """A CronWorkflow whose workflows look at the clock: they are told so in the place of an event."""
    heard = str(sensor["spec"]["dependencies"][0]["name"])
    several = bool(setting("ARGO_WORKFLOWS_USE_SCHEDULES"))
    return {
        "apiVersion": API_VERSION,
        "kind": "CronWorkflow",
        "metadata": {"name": name},
        "spec": {
            **({"schedules": list(crons)} if several else {"schedule": crons[0]}),
            "timezone": zone,
            "suspend": False,
            "concurrencyPolicy": "Forbid",  # looks that wait behind a long run would all see the same
            "startingDeadlineSeconds": _CLOCK_LATE,
            "successfulJobsHistoryLimit": _CLOCKS_KEPT,
            "failedJobsHistoryLimit": _CLOCKS_KEPT,
            "workflowSpec": {
                "workflowTemplateRef": {"name": name},
                "arguments": {"parameters": [{"name": heard, "value": json.dumps({"name": CLOCK})}]},
            },
        },
    }
