"""What a scheduler cannot say of a flow: DAGs by :mod:`dbt_flow.spec.schedulers`, ML flows by their decorators."""

from __future__ import annotations

from dbt_flow.deploy.nouns import Wanted
from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.spec.schedulers import SCHEDULERS, refused_by


def refused(wanted: Wanted, scheduler: str) -> list[DbtFlowError]:
    """Everything, with its place: nothing is lost in silence.

    :param scheduler: a key of :data:`~dbt_flow.spec.schedulers.SCHEDULERS`.
    """
    if wanted.dag is not None:
        return refused_by(wanted.dag, scheduler)
    title, facts = SCHEDULERS[scheduler], wanted.facts
    found: list[DbtFlowError] = []

    def refuse(what: str, hint: str) -> None:
        message = f"{wanted.name}: {title} cannot express {what}"
        found.append(InputError("not-on-scheduler", message, place=wanted.place, hint=hint))

    serve = "or run it with dbt-flow serve"
    heard = [*facts.get("trigger", ()), *facts.get("trigger_on_finish", ())]
    if facts.get("trigger") and facts.get("trigger_on_finish"):
        refuse("@trigger and @trigger_on_finish together", f"keep one of them, {serve}")
    if facts.get("needs") and not facts.get("trigger_on_finish"):
        refuse("@needs of tables alone: nothing would start it", f"name the DAGs too: @needs(dags=[...]), {serve}")
    if scheduler == "step-functions":
        if heard:
            refuse("events: it knows schedules alone", f"deploy to Argo Workflows, {serve}")
        for item in facts.get("schedule", ()):
            if item["timezone"]:
                refuse("a time zone", "write the hours as they are in UTC, without timezone")
            if len(str(item["cron"]).split()) != 6:
                refuse(f"the cron {item['cron']!r}", 'write EventBridge\'s six fields, as in @schedule(cron="0 6 * * ? *")')
    return found
