"""How a message is sent: PagerDuty's Events API v2 with PagerDuty's client, everything else with apprise.

Each call tries once, within a few seconds; waiting and trying again is the outbox's. Both clients are optional.
"""

from __future__ import annotations

import logging
import os
import re
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import quote

from dbt_flow import redact
from dbt_flow.errors import InputError
from dbt_flow.report.messages import PAGERDUTY, RESOLVE, Message, Route
from dbt_flow.report.outbox import NotSent

PAGERDUTY_URL = "DBT_FLOW_PAGERDUTY_URL"
"""Another address of PagerDuty's Events API, as for the service region EU; https only."""

_SECONDS = 5.0  # for one answer
_RATE_LIMIT_WAIT = 30.0
_MENTION = re.compile(r"<(?=[!@#])|@(?=(everyone|here|channel)\b)")


def send(message: Message) -> None:
    """Send it.

    :raises NotSent: it was not taken: try again later.
    """
    secret = os.environ.get(message.route.variable)
    if not secret:
        raise NotSent(f"the variable {message.route.variable} is not set")
    redact.learn([secret])
    try:
        _pagerduty(message, secret) if message.route.channel == PAGERDUTY else _apprise(message, secret)
    except InputError as error:
        raise NotSent(f"{error.message}: {error.hint}") from None


def extra(module: str, name: str) -> ModuleType:
    """An optional dependency.

    :raises InputError: ``missing-extra``, with what to type.
    """
    try:
        return import_module(module)
    except ImportError:
        hint = f"pip install 'dbt-flow[{name}]'"
        raise InputError("missing-extra", f"{module.partition('.')[0]} is not installed", hint=hint) from None


def missing(route: Route) -> str | None:
    """Why nothing can be sent that way, as far as can be known without sending; None when nothing speaks against it."""
    if not os.environ.get(route.variable):
        return f"the variable {route.variable} is not set"
    try:
        extra("pagerduty" if route.channel == PAGERDUTY else "apprise", "alerts")
    except InputError as error:
        return f"{error.message}: {error.hint}"
    return None


def _pagerduty(message: Message, key: str) -> None:
    pagerduty = extra("pagerduty", "alerts")
    logging.getLogger("pagerduty").setLevel(logging.CRITICAL)
    client = pagerduty.EventsApiV2Client(key, base_url=os.environ.get(PAGERDUTY_URL) or None)
    # One try: with fewer than no repetitions allowed the client gives a 429 back, which it would otherwise wait out for ever.
    client.retry, client.max_http_attempts = {429: 1}, -1
    client.max_network_attempts, client.timeout = 0, _SECONDS
    try:
        if message.action == RESOLVE:
            client.resolve(message.dedup)
            return
        client.trigger(
            message.title[:1024],
            message.source,
            dedup_key=message.dedup,
            severity=message.severity if message.severity in ("critical", "error", "warning", "info") else "error",
            custom_details=dict(message.details),
            links=[{"href": href, "text": words} for href, words in message.links],
            payload={"component": message.dag, "group": message.details.get("owner", ""), "class": "dbt-flow"},
        )
    except pagerduty.Error as error:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        said = f"PagerDuty answered {status}" if status else "PagerDuty cannot be reached"
        wait = _retry_after(response) if status == 429 else None
        raise NotSent(f"{said}: {error}", wait=wait) from None
    except Exception as error:  # a certificate, an answer that is no HTTP: whatever it is, the page stays here
        raise NotSent(f"PagerDuty cannot be reached: {type(error).__name__}: {error}") from None


def _retry_after(response: Any) -> float:
    try:
        return float(response.headers.get("Retry-After") or _RATE_LIMIT_WAIT)
    except (AttributeError, ValueError):
        return _RATE_LIMIT_WAIT


def _apprise(message: Message, url: str) -> None:
    apprise = extra("apprise", "alerts")
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    try:
        notifier = apprise.Apprise()
        added = all(notifier.add(address(part, message.route.to)) for part in url.split())
        if not added or not len(notifier):
            raise NotSent(f"the value of {message.route.variable} is no URL that apprise knows")
        kind = "success" if message.action == RESOLVE else "warning" if message.severity == "warning" else "failure"
        kind = "info" if message.severity == "info" and message.action != RESOLVE else kind
        body = defused("\n".join([message.body, *(f"{words}: {href}" for href, words in message.links)]))
        if not notifier.notify(title=defused(message.title), body=body or " ", notify_type=kind, body_format="text"):
            raise NotSent(f"what {message.route.variable} names did not take the message")
    except NotSent:
        raise
    except Exception as error:
        raise NotSent(f"what {message.route.variable} names cannot be reached: {type(error).__name__}: {error}") from None


def address(url: str, to: str) -> str:
    """The apprise URL: a plain web address is a webhook that takes JSON; a channel or a mail address goes to its place."""
    native = ("https://hooks.slack.com/", "https://outlook.office.com/", "https://discord.com/api/webhooks/")
    if url.startswith("https://") and not url.startswith(native) and ".webhook.office.com/" not in url:
        url = "jsons://" + url[len("https://") :]
    elif url.startswith("http://"):
        url = "json://" + url[len("http://") :]
    if not to:
        return url
    if url.startswith("mailto"):
        return f"{url}{'&' if '?' in url else '?'}to={quote(to)}"
    path, _, query = url.partition("?")
    return f"{path.rstrip('/')}/{quote(to)}" + (f"?{query}" if query else "")


def defused(text: str) -> str:
    """``text`` that calls nobody: no mention of everybody in a channel comes out of what a warehouse said."""
    return _MENTION.sub(lambda found: found[0] + "\u2060", text)
