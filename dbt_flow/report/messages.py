"""What is sent to people, and what stays open until it is mended: frozen, plain JSON, without a secret."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from dbt_flow.records import Record

TRIGGER, RESOLVE, NOTICE = "trigger", "resolve", "notice"
PAGERDUTY, APPRISE = "pagerduty", "apprise"

RUN_ITSELF, LATE, MORE = "run", "late", "more"
"""Stand for a node where there is none: the run died or could not start; it is late; what is left of very many causes."""


@dataclass(frozen=True)
class Route(Record):
    """Where a message goes."""

    channel: str
    """``pagerduty`` or ``apprise``."""
    variable: str
    """The environment variable that holds the routing key, or the apprise URL."""
    to: str = ""
    """Of a bot's or a mail server's URL: the channel or the address."""


@dataclass(frozen=True)
class Message(Record):
    """One page, one message, or the end of a page."""

    id: str
    """The same for the same news of the same run, so that it is put into the outbox once."""
    created: str
    action: str
    dedup: str
    """What PagerDuty joins a page and its end by."""
    route: Route
    title: str
    body: str = ""
    severity: str = "error"
    details: Mapping[str, str] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()
    """Address and words."""
    dag: str = ""
    run: str = ""
    source: str = ""
    tries: int = 0
    next_try: str | None = None
    trouble: str = ""
    """What kept it from being sent the last time."""

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Message:
        """See :meth:`Record.from_dict`."""
        message = super().from_dict(data)
        if isinstance(message.route, Mapping):
            object.__setattr__(message, "route", Route.from_dict(message.route))
        return message


@dataclass(frozen=True)
class Incident(Record):
    """Something that was told as broken: it stays open until each of its nodes has a good result."""

    dedup: str
    nodes: tuple[str, ...]
    """What is not good yet."""
    title: str
    owner: str
    opened: str
    routes: tuple[Route, ...] = ()
    """Whom its end is told."""
    told: str = ""
    """When messages (not pages) were last sent of it."""
    open: bool = True

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Incident:
        """See :meth:`Record.from_dict`."""
        incident = super().from_dict(data)
        routes = tuple(Route.from_dict(route) if isinstance(route, Mapping) else route for route in incident.routes)
        object.__setattr__(incident, "routes", routes)
        return incident


def dedup_key(project: str, target: str, dag: str, node: str) -> str:
    """Stable from run to run; PagerDuty takes 255 characters."""
    key = f"dbt_flow/{project}/{target}/{dag}/{node}"
    if len(key) <= 255:
        return key
    return f"{key[:220]}~{short(key)}"


def short(text: str) -> str:
    """A digest for names of files."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
