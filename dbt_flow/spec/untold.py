"""Warnings of ``validate`` about telling: pages and messages that would reach nobody, dead runs that nobody would tell of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from dbt_flow.destinations import Alerting
from dbt_flow.errors import DbtFlowError, InputError, Place
from dbt_flow.settings import SETTINGS_FILE, Settings
from dbt_flow.spec.dag_file import Dag


def untold(settings: Settings, dags: tuple[Dag, ...], today: date) -> Iterator[DbtFlowError]:
    """What nobody would be told, for each DAG that wants somebody told."""
    said = settings.destinations.alerts
    for dag in dags:
        if dag.alerts.page != "off":
            yield from _page(settings, said, dag)
        if dag.alerts.notify != "off" and "alerts.notify" in dag.origins and not _written_to(settings, said, dag):
            hint = f"name a variable with an apprise URL in {SETTINGS_FILE}: alerts: {{webhooks: [NAME]}}"
            message = f"nobody can be written to: {dag.owner} has no webhook, and {SETTINGS_FILE} names none"
            yield InputError("untold", message, place=dag.place("alerts.notify"), hint=hint)
        if dag.done_by and not _watched(said):
            message = f"{dag.name} has done_by, and nobody would tell that it never started"
            yield InputError("untold", message, place=dag.place("done_by"), hint=_WATCH)
    for terms in said.quarantine:
        if today.isoformat() > terms.until:
            message = f"the quarantine of {terms.test} ended on {terms.until}; its owner is {terms.owner}"
            hint = "mend the test and delete the line under alerts.quarantine, or give it a new date"
            yield InputError("untold", message, place=Place(SETTINGS_FILE), hint=hint)


_WATCH = (
    "run `dbt-flow serve` and write alerts: {watched_by: serve}, or page through Datadog (alerts: {datadog: true}), whose "
    "no-data monitor `dbt-flow alerts install` makes"
)


def _page(settings: Settings, said: Alerting, dag: Dag) -> Iterator[DbtFlowError]:
    place = dag.place("alerts.page")
    if not said.datadog and not said.pagerduty and not settings.owners.get(dag.owner, {}).get("pagerduty"):
        hint = f"name the variable with a PagerDuty routing key in {SETTINGS_FILE}: alerts: {{pagerduty: NAME}}"
        message = f"nobody can be paged: {dag.owner} has no pagerduty, and {SETTINGS_FILE} names none"
        yield InputError("untold", message, place=place, hint=hint)
    if not _watched(said):
        message = f"{dag.name} pages, and nobody would tell of a run that died with its machine or never started"
        yield InputError("untold", message, place=place, hint=_WATCH)


def _watched(said: Alerting) -> bool:
    return said.watched_by is not None or said.datadog is not None


def _written_to(settings: Settings, said: Alerting, dag: Dag) -> bool:
    contact = settings.owners.get(dag.owner, {})
    reached = [contact.get("webhook"), said.slack and contact.get("slack"), said.email and contact.get("email"), said.webhooks]
    return any(reached)
