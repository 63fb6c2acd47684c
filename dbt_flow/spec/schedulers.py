"""What a scheduler does with each key of a DAG file that is about when a run starts: :data:`TABLE`, and the refusals it means.

The keys that are not in it (what is built, how, who is told) mean the same everywhere: they are in the run's own hands. What is
refused is refused when planning a deployment, and when deploying by Metaflow's own command, with the line; never lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.spec.dag_file import Dag
from dbt_flow.spec.scheduler_crons import Refused, fixed_offset, for_argo, for_eventbridge

SCHEDULERS = {"argo-workflows": "Argo Workflows", "step-functions": "AWS Step Functions"}
"""Metaflow's command for each, and its name."""

DEPLOYS = "DBT_FLOW_DEPLOYS"
"""Set by ``dbt-flow deploy`` for Metaflow's command: what that has no words for is added afterwards."""

_LOOKS = (5, 6, 10, 12, 15, 20, 30, 60)
"""Minutes between two looks at the clock: those that divide an hour."""
_LOOKS_WITHIN = 4  # looks while an arrival can be paired, at the least, as far as that goes
_TURNED_BEFORE = 5  # the hour of the day before which clocks are turned, wherever they are

NATIVE, OURS, REFUSED = "native", "by our first step", "refused"

TABLE: Mapping[str, tuple[str, str, str]] = {
    # key: under serve, on Argo Workflows, on AWS Step Functions
    "schedule": (NATIVE, NATIVE, NATIVE),
    "schedule: several": (NATIVE, "native, from Argo Workflows 3.6", REFUSED),
    "schedule: L, #": (NATIVE, REFUSED, REFUSED),
    "timezone": (NATIVE, NATIVE, "native, in UTC"),
    "timezone: with daylight saving": (NATIVE, NATIVE, REFUSED),
    "event": (NATIVE, NATIVE, REFUSED),
    "event: params": (NATIVE, NATIVE, REFUSED),
    "after": (NATIVE, NATIVE, REFUSED),
    "after: any": (NATIVE, OURS, REFUSED),
    "within": (NATIVE, OURS, REFUSED),
    "at_latest": (NATIVE, OURS, REFUSED),
    "otherwise": (NATIVE, OURS, REFUSED),
    "within, at_latest, with isolate": (NATIVE, REFUSED, REFUSED),
    "at_latest, with a required parameter": (NATIVE, REFUSED, REFUSED),
    "overlap: skip": (NATIVE, "native for schedules, else by our first step", OURS),
    "overlap: skip, with isolate": (NATIVE, "native for schedules, else refused", REFUSED),
    "overlap: queue": (NATIVE, "native, not folded", REFUSED),
    "timeout": (OURS, OURS, OURS),
    "retries": (OURS, OURS, OURS),
    "done_by": (NATIVE, "by our first step, once a run has begun", "by our first step, once a run has begun"),
}
"""``docs/deploy.md`` shows it; tests hold it against what is refused and what is sent."""


def by_first_step(dag: Dag) -> bool:
    """Whether the first step of each run of a DAG decides on Argo whether it builds (:mod:`dbt_flow.pipeline.first_step`)."""
    start = dag.trigger
    several = bool(start.after) and len(start.after.any if start.after else ()) > 1
    return several or (bool(start.at_latest or start.within) and start.kind in ("event", "after"))


def clock_of(dag: Dag) -> tuple[str, ...]:
    """When the first step is to look at the clock: at ``at_latest``, and as arrivals grow old. Crons in the DAG's zone."""
    start = dag.trigger
    if not by_first_step(dag):
        return ()
    crons = []
    if start.at_latest:
        hour, minute = (int(part) for part in start.at_latest.split(":")[:2])
        # On a day that leaves that time out the round ends an hour later; looking once too often does nothing.
        hours = f"{hour},{hour + 1}" if fixed_offset(dag.timezone) is None and hour < _TURNED_BEFORE else str(hour)
        crons.append(f"{minute} {hours} * * *")
    if start.within and start.otherwise != "skip" and len(start.after.names if start.after else ()) > 1:
        fits = [minutes for minutes in _LOOKS if minutes * 60 * _LOOKS_WITHIN <= start.within.seconds]
        every = max(fits, default=min(_LOOKS))
        crons.append("0 * * * *" if every == max(_LOOKS) else f"*/{every} * * * *")
    return tuple(crons)


def refused_by(dag: Dag, scheduler: str, *, bare: bool = False) -> list[DbtFlowError]:
    """All that a scheduler (a key of :data:`SCHEDULERS`) cannot express of a DAG's trigger.

    :param bare: it is deployed by Metaflow's own command alone: what ``dbt-flow deploy`` adds afterwards is refused as well.
    """
    start, name = dag.trigger, SCHEDULERS[scheduler]
    argo = scheduler == "argo-workflows"
    found: list[DbtFlowError] = []

    def refuse(key: str, what: str, hint: str) -> None:
        found.append(InputError("not-on-scheduler", f"{name} cannot express {what}", place=dag.place(key), hint=hint))

    serve = "or run it with dbt-flow serve"
    if len(start.schedule) > 1 and not argo:
        refuse("trigger.schedule", "several schedules", f"write one cron expression, as in 0 6,18 * * *, {serve}")
    else:
        for cron in start.schedule:
            said = _cron(dag, cron, scheduler)
            if isinstance(said, Refused):
                refuse(said.key, said.what, f"{said.hint}, {serve}")
    if not argo:
        _refuse_waiting(dag, refuse, f"deploy to Argo Workflows, {serve}")
    elif by_first_step(dag) and dag.isolate and (start.within or start.at_latest):
        what = "within and at_latest together with isolate: a run of several steps cannot end in its first"
        refuse("trigger.within" if start.within else "trigger.at_latest", what, f"delete isolate, {serve}")
    elif clock_of(dag) and any(param.required for param in dag.params.values()):
        what = "a look at the clock for a DAG with a required parameter: there is no event to fill it"
        refuse("trigger.at_latest" if start.at_latest else "trigger.within", what, f"give the parameter a default, {serve}")
    elif bare:
        _refuse_what_is_added(dag, refuse)
    skips = start.kind != "none" and (dag.overlap or dag.default_overlap) == "skip"
    if skips and dag.isolate and (not argo or start.kind != "schedule"):
        refuse("overlap", "overlap: skip, and with isolate we cannot do it ourselves", f"delete isolate, {serve}")
    if not argo and dag.overlap == "queue" and start.schedule:
        refuse("overlap", "overlap: queue", f"write overlap: skip, {serve}")
    return found


def _refuse_what_is_added(dag: Dag, refuse: Callable[[str, str, str], None]) -> None:
    """What ``dbt-flow deploy`` adds on Argo, and Metaflow's own command has no words for."""
    start = dag.trigger
    keys = {
        "schedule": "several schedules" if len(start.schedule) > 1 else "",
        "after.any": "any" if start.after and len(start.after.any) > 1 else "",
        "within": "within" if start.within else "",
        "at_latest": "at_latest" if start.at_latest else "",
    }
    for key, what in keys.items():
        if what:
            hint = "deploy it with dbt-flow deploy apply --to argo"
            refuse(f"trigger.{key}", f"{what} when Metaflow's own command deploys it", hint)


def _refuse_waiting(dag: Dag, refuse: Callable[[str, str, str], None], hint: str) -> None:
    """Everything about events, of a scheduler that knows schedules alone."""
    start = dag.trigger
    if start.after and start.after.any:
        refuse("trigger.after.any", "any: it knows schedules alone", hint)
    if start.within:
        refuse("trigger.within", "within: it knows schedules alone", hint)
    if start.at_latest:
        refuse("trigger.at_latest", "at_latest: it knows schedules alone", hint)
    elif start.otherwise != "hold":
        refuse("trigger.otherwise", "otherwise: it knows schedules alone", hint)
    if start.event or start.after:
        refuse(f"trigger.{start.kind}", f"{start.kind}: it knows schedules alone", hint)


def schedules_of(dag: Dag) -> tuple[str, ...]:
    """All schedules of a DAG, as a CronWorkflow takes them."""
    said = [_cron(dag, cron, "argo-workflows") for cron in dag.trigger.schedule]
    return tuple(one for one in said if isinstance(one, str))


def schedule_of(dag: Dag, command: str | None) -> dict[str, Any]:
    """The arguments of Metaflow's ``@schedule`` for a DAG, under a Metaflow command; of several schedules the first.

    :param command: ``run``, ``argo-workflows``, ``step-functions`` and so on; only those of :data:`SCHEDULERS` matter.
    """
    first = dag.trigger.schedule[0]
    said = _cron(dag, first, command) if command in SCHEDULERS else str(first)
    cron = str(first) if isinstance(said, Refused) else said  # it is refused elsewhere, with its place
    zone = {} if dag.timezone == "UTC" or command == "step-functions" else {"timezone": dag.timezone}
    return {"cron": cron, **zone}


def _cron(dag: Dag, cron: str, scheduler: str | None) -> str | Refused:
    return for_eventbridge(str(cron), dag.timezone) if scheduler == "step-functions" else for_argo(str(cron))
