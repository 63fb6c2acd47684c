"""What a scheduler does with each key of a DAG file that is about when a run starts: :data:`TABLE`, and the refusals it means.

The keys that are not in it (what is built, how, who is told) mean the same everywhere: they are in the run's own hands. What is
refused is refused when planning a deployment, and when deploying by Metaflow's own command, with the line; never lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.spec.dag_file import Dag
from dbt_flow.spec.scheduler_crons import Refused, for_argo, for_eventbridge

SCHEDULERS = {"argo-workflows": "Argo Workflows", "step-functions": "AWS Step Functions"}
"""Metaflow's command for each, and its name."""

NATIVE, OURS, REFUSED = "native", "by our first step", "refused"

TABLE: Mapping[str, tuple[str, str, str]] = {
    # key: under serve, on Argo Workflows, on AWS Step Functions
    "schedule": (NATIVE, NATIVE, NATIVE),
    "schedule: several": (NATIVE, REFUSED, REFUSED),
    "schedule: L, #": (NATIVE, REFUSED, REFUSED),
    "timezone": (NATIVE, NATIVE, "native, in UTC"),
    "timezone: with daylight saving": (NATIVE, NATIVE, REFUSED),
    "event": (NATIVE, NATIVE, REFUSED),
    "event: params": (NATIVE, NATIVE, REFUSED),
    "after": (NATIVE, NATIVE, REFUSED),
    "after: any": (NATIVE, REFUSED, REFUSED),
    "within": (NATIVE, REFUSED, REFUSED),
    "at_latest": (NATIVE, REFUSED, REFUSED),
    "otherwise": (NATIVE, REFUSED, REFUSED),
    "overlap: skip": (NATIVE, "native for schedules, else by our first step", OURS),
    "overlap: skip, with isolate": (NATIVE, "native for schedules, else refused", REFUSED),
    "overlap: queue": (NATIVE, "native, not folded", REFUSED),
    "timeout": (OURS, OURS, OURS),
    "retries": (OURS, OURS, OURS),
    "done_by": (NATIVE, "by our first step, once a run has begun", "by our first step, once a run has begun"),
}
"""``docs/deploy.md`` shows it; tests hold it against what is refused and what is sent."""


def refused_by(dag: Dag, scheduler: str) -> list[DbtFlowError]:
    """All that a scheduler (a key of :data:`SCHEDULERS`) cannot express of a DAG's trigger."""
    start, name = dag.trigger, SCHEDULERS[scheduler]
    found: list[DbtFlowError] = []

    def refuse(key: str, what: str, hint: str) -> None:
        found.append(InputError("not-on-scheduler", f"{name} cannot express {what}", place=dag.place(key), hint=hint))

    serve = "or run it with dbt-flow serve"
    if len(start.schedule) > 1:
        refuse("trigger.schedule", "several schedules", f"write one cron expression, as in 0 6,18 * * *, {serve}")
    elif start.schedule:
        said = _cron(dag, scheduler)
        if isinstance(said, Refused):
            refuse(said.key, said.what, f"{said.hint}, {serve}")
    if start.after and start.after.any:
        refuse("trigger.after.any", "any: its triggers mean all of them", f"make a DAG for each, {serve}")
    if start.within:
        refuse("trigger.within", "within: it pairs whatever has come, however old", f"delete it, {serve}")
    if start.at_latest:
        refuse("trigger.at_latest", "at_latest: it waits without an end", f"delete it, {serve}")
    elif start.otherwise != "hold":
        refuse("trigger.otherwise", "otherwise: it waits without an end", f"delete it, {serve}")
    skips = start.kind != "none" and (dag.overlap or dag.default_overlap) == "skip"
    if skips and dag.isolate and (scheduler == "step-functions" or start.kind != "schedule"):
        refuse("overlap", "overlap: skip, and with isolate we cannot do it ourselves", f"delete isolate, {serve}")
    if scheduler == "step-functions" and dag.overlap == "queue" and start.schedule:
        refuse("overlap", "overlap: queue", f"write overlap: skip, {serve}")
    if scheduler == "step-functions" and (start.event or start.after):
        refuse(f"trigger.{start.kind}", f"{start.kind}: it knows schedules alone", "deploy to Argo Workflows, " + serve)
    return found


def schedule_of(dag: Dag, command: str | None) -> dict[str, Any]:
    """The arguments of Metaflow's ``@schedule`` for a DAG with one schedule, under a Metaflow command.

    :param command: ``run``, ``argo-workflows``, ``step-functions`` and so on; only those of :data:`SCHEDULERS` matter.
    """
    said = _cron(dag, command) if command in SCHEDULERS else str(dag.trigger.schedule[0])
    cron = str(dag.trigger.schedule[0]) if isinstance(said, Refused) else said  # it is refused elsewhere, with its place
    zone = {} if dag.timezone == "UTC" or command == "step-functions" else {"timezone": dag.timezone}
    return {"cron": cron, **zone}


def _cron(dag: Dag, scheduler: str | None) -> str | Refused:
    cron = str(dag.trigger.schedule[0])
    return for_eventbridge(cron, dag.timezone) if scheduler == "step-functions" else for_argo(cron)
