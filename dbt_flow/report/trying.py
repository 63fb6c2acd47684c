"""``alerts test``: one harmless message to each place that a DAG's alerts go to, at once, each with what became of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from dbt_flow.records import utc_text
from dbt_flow.redact import text as redacted
from dbt_flow.report.alerts import notice_routes, page_routes
from dbt_flow.report.channels import send
from dbt_flow.report.messages import NOTICE, PAGERDUTY, RESOLVE, TRIGGER, Message, Route
from dbt_flow.report.outbox import NotSent
from dbt_flow.report.rules import Rules


@dataclass(frozen=True)
class Tried:
    """One place."""

    route: Route
    trouble: str = ""
    """Why it was not taken; empty when it was."""


def try_all(rules: Rules) -> list[Tried]:
    """Send the messages; an incident is opened as information and closed at once."""
    routes = (*(() if rules.through_datadog else page_routes(rules, rules.owner)), *notice_routes(rules, rules.owner))
    return [_try(rules, route) for route in dict.fromkeys(routes)]


def _try(rules: Rules, route: Route) -> Tried:
    key = f"dbt_flow/{rules.project}/{rules.dag}/test/{uuid.uuid4().hex[:8]}"
    actions = (TRIGGER, RESOLVE) if route.channel == PAGERDUTY else (NOTICE,)
    try:
        for action in actions:
            send(_message(rules, route, action, key))
    except NotSent as error:
        return Tried(route, redacted(error.why))
    return Tried(route)


def _message(rules: Rules, route: Route, action: str, key: str) -> Message:
    title = f"A test of the alerts of {rules.dag}: nothing is wrong"
    body = f"Sent by `dbt-flow alerts test {rules.dag}`. Owner: {rules.owner}. No one needs to do anything."
    return Message(
        id=key,
        created=utc_text(),
        action=action,
        dedup=key,
        route=route,
        title=title,
        body=body,
        severity="info",
        details={"owner": rules.owner, "test": "yes"},
        dag=rules.dag,
        source=rules.project,
    )
