"""What a scheduler cannot express of a DAG's trigger: refused when deploying, with the line, never lost.

=====================  =========  ======================  ==================================
key                    serve      Argo Workflows          AWS Step Functions
=====================  =========  ======================  ==================================
one ``schedule``       native     native                  native, in UTC alone
several                native     refused                 refused
``event``, ``after``   native     native                  refused
``after: {any: ...}``  native     refused: Metaflow's triggers mean all of them
``within``             native     refused: Argo pairs whatever has come, however old
``at_latest``          native     refused: Argo waits without an end
=====================  =========  ======================  ==================================
"""

from __future__ import annotations

from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.spec.dag import Dag

SCHEDULERS = {"argo-workflows": "Argo Workflows", "step-functions": "AWS Step Functions"}
"""Metaflow's command for each, and its name."""


def refused_by(dag: Dag, scheduler: str) -> list[DbtFlowError]:
    """All that a scheduler (a key of :data:`SCHEDULERS`) cannot express of a DAG's trigger."""
    start, name = dag.trigger, SCHEDULERS[scheduler]
    found: list[DbtFlowError] = []

    def refuse(key: str, what: str, hint: str) -> None:
        found.append(InputError("not-on-scheduler", f"{name} cannot express {what}", place=dag.place(key), hint=hint))

    serve = "or run it with dbt-flow serve"
    if len(start.schedule) > 1:
        refuse("trigger.schedule", "several schedules", f"write one cron expression, as in 0 6,18 * * *, {serve}")
    if start.after and start.after.any:
        refuse("trigger.after.any", "any: its triggers mean all of them", f"make a DAG for each, {serve}")
    if start.within:
        refuse("trigger.within", "within: it pairs whatever has come, however old", f"delete it, {serve}")
    if start.at_latest:
        refuse("trigger.at_latest", "at_latest: it waits without an end", f"delete it, {serve}")
    if scheduler == "step-functions":
        if start.event or start.after:
            refuse(f"trigger.{start.kind}", f"{start.kind}: it knows schedules alone", "deploy to Argo Workflows, " + serve)
        if start.schedule and dag.timezone != "UTC":
            refuse("timezone", "a time zone", "write timezone: UTC and the hours as they are there")
    return found
