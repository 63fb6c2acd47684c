"""Where alerts, metrics, links and runs go: some keys of ``dbt_flow.yml``.

No secret stands in that file: a routing key, a token or a webhook's address is the value of an environment variable, and the
file names the variable. :func:`read_destinations` gives what was written, checked; every slip is told with its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from string import Formatter
from typing import Any, Protocol

from dbt_flow.redact import secret_name
from dbt_flow.yamlfile import KeyPath, did_you_mean, kind_of, show

DATADOG_VARIABLES = ("DD_DOGSTATSD_URL", "DD_AGENT_HOST", "DD_DOGSTATSD_PORT")
"""Datadog's own: as soon as one of them is set, metrics are sent there."""

ALERT_KEYS: Mapping[str, str] = {
    "pagerduty": "the variable with the PagerDuty routing key of teams that name none; alerts then page directly",
    "datadog": "page through Datadog's monitors (`dbt-flow alerts install`): true, or {api_key, app_key, site, handle}",
    "webhooks": "variables with apprise URLs (Slack, Teams, a webhook) for messages to teams that name none",
    "slack": "the variable with an apprise URL of a Slack bot; a message goes to the team's channel",
    "email": "the variable with an apprise mailto URL; a message goes to the team's address",
    "watched_by": "serve, where `dbt-flow serve` runs and tells of runs that died or never started",
    "quarantine": "tests that are known to fail: each with until (a date), owner and reason; they fail the run and page nobody",
}
METRIC_KEYS: Mapping[str, str] = {
    "dogstatsd": "udp://HOST:PORT or unix:///PATH of a Datadog agent",
    "api": "true: no agent; send to Datadog's API, with the key in DD_API_KEY",
    "env": "the tag env [DD_ENV, else the target]",
    "service": "the tag service [DD_SERVICE, else dbt-flow]",
    "tags": "further tags of every metric, KEY:VALUE",
    "nodes": "false: no metrics of single nodes, but for those that are not good [true]",
}
LINK_KEYS: Mapping[str, str] = {
    "card": "where cards are served, as in https://cards.example/{target}/{dag}/{run}/card.html",
    "metaflow": "where Metaflow's UI is, as in https://metaflow.example/{flow}/{run}",
    "query": "where a query of Snowflake's is shown, as in https://snow.example/{query} [Snowsight]",
}
REMOTE_KEYS: Mapping[str, str] = {
    "image": "the container image of steps that run on Kubernetes or AWS Batch",
    "secrets": "secrets that set variables in a task, as Metaflow's @secrets takes them",
    "variables": "variables of the launching process that a task gets, none of them a secret",
}
LINK_FIELDS = ("project", "target", "dag", "flow", "run")  # of links.query also {query}, which it must have

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_ROUTING_KEY = re.compile(r"[0-9A-Za-z]{32}\Z")
_AGENT = re.compile(r"(udp://[^/\s:]+(:\d{1,5})?|unix(gram|stream)?:///\S+)\Z")
_TAG = re.compile(r"[A-Za-z][\w./-]*:[^\s,|#]+\Z")
_MOST_ROWS = 100


class Refuse(Protocol):
    """Note that something is wrong."""

    def __call__(self, code: str, message: str, key: KeyPath, hint: str, *, at_key: bool = False) -> None:
        """``key`` is the path in the file; ``at_key`` points at the key and not at its value."""


@dataclass(frozen=True)
class Monitors:
    """Datadog, where pages go through its monitors."""

    api_key: str = "DD_API_KEY"
    """The variable that holds it."""
    app_key: str = "DD_APP_KEY"
    site: str | None = None
    handle: str | None = None
    """Who is told of a team that has no ``datadog`` handle of its own."""


@dataclass(frozen=True)
class Quarantine:
    """A test that is known to be bad: it fails the run as ever, and pages nobody until a day."""

    test: str
    """Its name in dbt, or its id."""
    until: str
    """The last day, ``2026-12-31``."""
    owner: str
    reason: str = ""


@dataclass(frozen=True)
class Alerting:
    """``alerts`` of ``dbt_flow.yml``."""

    pagerduty: str | None = None
    datadog: Monitors | None = None
    webhooks: tuple[str, ...] = ()
    slack: str | None = None
    email: str | None = None
    watched_by: str | None = None
    quarantine: tuple[Quarantine, ...] = ()


@dataclass(frozen=True)
class Metering:
    """``metrics`` of ``dbt_flow.yml``; without it Datadog's own variables decide."""

    off: bool = False
    dogstatsd: str | None = None
    api: bool = False
    env: str | None = None
    service: str | None = None
    tags: tuple[str, ...] = ()
    nodes: bool = True


@dataclass(frozen=True)
class Remote:
    """``remote``: what a run on another machine needs; see :data:`REMOTE_KEYS`."""

    image: str | None = None
    secrets: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Destinations:
    """All these keys."""

    alerts: Alerting = Alerting()
    metrics: Metering = Metering()
    links: Mapping[str, str] = field(default_factory=dict)
    """``card`` and ``metaflow``, each an address with fields of :data:`LINK_FIELDS` in braces."""
    sample_rows: int = 0
    """How many failing rows a card may show."""
    remote: Remote = Remote()


def read_destinations(data: Mapping[str, Any], owners: Mapping[str, Mapping[str, str]], refuse: Refuse) -> Destinations:
    """Read the keys of a ``dbt_flow.yml``, and check how its owners are reached."""
    reader = _Reader(data, refuse)
    alerts = reader.alerts(owners)
    return Destinations(alerts, reader.metrics(), reader.links(), reader.sample_rows(), reader.remote())


class _Reader:
    def __init__(self, data: Mapping[str, Any], refuse: Refuse) -> None:
        self.data, self.refuse = data, refuse

    # ---- alerts

    def alerts(self, owners: Mapping[str, Mapping[str, str]]) -> Alerting:
        said = self.mapping(("alerts",), ALERT_KEYS)
        for team, contacts in owners.items():
            for kind in ("pagerduty", "webhook"):
                self.variable(contacts, kind, ("owners", team))
        watched = said.get("watched_by")
        if watched not in (None, "serve"):
            self.refuse(
                "bad-value", f"alerts.watched_by is {show(watched)}", ("alerts", "watched_by"), "write serve, or delete it"
            )
        found = Alerting(
            pagerduty=self.variable(said, "pagerduty", ("alerts",)),
            datadog=self.monitors(said),
            webhooks=self.variables(said, "webhooks", ("alerts",)),
            slack=self.variable(said, "slack", ("alerts",)),
            email=self.variable(said, "email", ("alerts",)),
            watched_by=watched,
            quarantine=self.quarantine(said.get("quarantine")),
        )
        direct = next((team for team, contacts in owners.items() if contacts.get("pagerduty")), None)
        if found.datadog and (found.pagerduty or direct):
            path = ("alerts", "pagerduty") if found.pagerduty else ("owners", str(direct), "pagerduty")
            message = "pages would be sent twice: through Datadog's monitors (alerts.datadog) and to PagerDuty directly"
            self.refuse("bad-value", message, path, "keep one of the two ways", at_key=True)
        return found

    def monitors(self, said: Mapping[str, Any]) -> Monitors | None:
        value = said.get("datadog")
        if value is None or value is False:
            return None
        if value is True:
            return Monitors()
        known = {"api_key": "", "app_key": "", "site": "", "handle": ""}
        keys = self.mapping(("alerts", "datadog"), known)
        names = {key: self.variable(keys, key, ("alerts", "datadog")) for key in ("api_key", "app_key") if key in keys}
        texts = {key: self.text(keys, key, ("alerts", "datadog")) for key in ("site", "handle") if key in keys}
        return Monitors(**{key: value for key, value in {**names, **texts}.items() if value})

    def quarantine(self, value: Any) -> tuple[Quarantine, ...]:
        if value is None:
            return ()
        hint = "write, under quarantine:, TEST: {until: 2026-12-31, owner: TEAM, reason: TEXT}"
        if not isinstance(value, dict):
            message = f"alerts.quarantine is {kind_of(value)}; tests were expected"
            self.refuse("wrong-type", message, ("alerts", "quarantine"), hint)
            return ()
        found = []
        for test, terms in value.items():
            path = ("alerts", "quarantine", test)
            if not isinstance(terms, dict):
                self.refuse("wrong-type", f"{test} is {kind_of(terms)}; until and owner were expected", path, hint)
                continue
            self.unknown(terms, ("until", "owner", "reason"), path)
            until = _day(terms.get("until"))
            if until is None:
                self.refuse("bad-value", f"{test} has no last day: until", path, hint)
            owner = terms.get("owner")
            if not isinstance(owner, str) or not owner.strip():
                self.refuse("missing-key", f"nobody owns the quarantine of {test}", path, hint)
            elif until:
                found.append(Quarantine(str(test), until, owner, str(terms.get("reason") or "")))
        return tuple(found)

    # ---- the others

    def metrics(self) -> Metering:
        value = self.data.get("metrics")
        if value is False or value == "off":
            return Metering(off=True)
        said = self.mapping(("metrics",), METRIC_KEYS)
        agent = self.text(said, "dogstatsd", ("metrics",))
        if agent and not _AGENT.match(agent):
            message = f"metrics.dogstatsd is {show(agent)}"
            self.refuse("bad-value", message, ("metrics", "dogstatsd"), "write udp://HOST:8125 or unix:///PATH")
        tags = said.get("tags", [])
        tags = [tags] if isinstance(tags, str) else tags
        if not isinstance(tags, list) or not all(isinstance(tag, str) and _TAG.match(tag) for tag in tags):
            self.refuse("bad-value", "metrics.tags must be a list of KEY:VALUE", ("metrics", "tags"), "as in [team:data]")
            tags = []
        return Metering(
            dogstatsd=agent,
            api=self.flag(said, "api", default=False),
            env=self.text(said, "env", ("metrics",)),
            service=self.text(said, "service", ("metrics",)),
            tags=tuple(tags),
            nodes=self.flag(said, "nodes", default=True),
        )

    def links(self) -> Mapping[str, str]:
        said = self.mapping(("links",), LINK_KEYS)
        found = {}
        for key in LINK_KEYS:
            link = self.text(said, key, ("links",))
            if link is None:
                continue
            fields, known = _fields(link), (*LINK_FIELDS, *(["query"] if key == "query" else []))
            wrong = None if fields is None else next((name for name in fields if name not in known), None)
            lacks = key == "query" and "query" not in (fields or ())
            if not link.startswith(("https://", "http://")) or fields is None or wrong is not None or lacks:
                message = f"links.{key} is {show(link)}" + (f": there is no field {{{wrong}}}" if wrong is not None else "")
                hint = f"an http address with {'{query}, and ' * lacks}any of {', '.join(f'{{{name}}}' for name in known)}"
                self.refuse("bad-value", message, ("links", key), hint)
                continue
            found[key] = link
        return found

    def sample_rows(self) -> int:
        value = self.data.get("sample_rows", 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_ROWS:
            message = f"sample_rows is {show(value)}; a whole number up to {_MOST_ROWS} was expected"
            self.refuse("bad-value", message, ("sample_rows",), "write sample_rows: 5, or delete it: cards show no rows then")
            return 0
        return int(value)

    def remote(self) -> Remote:
        said = self.mapping(("remote",), REMOTE_KEYS)
        sources = said.get("secrets", [])
        sources = [sources] if isinstance(sources, str) else sources
        if not isinstance(sources, list) or not all(isinstance(item, str) and item.strip() for item in sources):
            hint = "write secrets: [NAME], the secrets that set variables in a task"
            self.refuse("wrong-type", "remote.secrets must be a list of names", ("remote", "secrets"), hint)
            sources = []
        names = self.variables(said, "variables", ("remote",))
        for index, name in enumerate(names):
            if secret_name(name):
                path = ("remote", "variables", index) if isinstance(said["variables"], list) else ("remote", "variables")
                message = f"{name} is a secret by its name, and would be written into the deployment"
                self.refuse("secret-in-file", message, path, "let a secret set it: remote.secrets")
        return Remote(self.text(said, "image", ("remote",)), tuple(sources), names)

    # ---- values

    def mapping(self, path: KeyPath, known: Mapping[str, Any]) -> Mapping[str, Any]:
        value: Any = self.data
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            return {}
        if not isinstance(value, dict):
            hint = f"the keys are: {', '.join(known)}"
            self.refuse("wrong-type", f"{'.'.join(map(str, path))} is {kind_of(value)}; a mapping was expected", path, hint)
            return {}
        self.unknown(value, tuple(known), path)
        return value

    def unknown(self, value: Mapping[str, Any], known: Sequence[str], path: KeyPath) -> None:
        for key in value:
            if key not in known:
                near = did_you_mean(key, known)
                hint = f"did you mean {near}?" if near else f"the keys are: {', '.join(known)}"
                message = f"unknown key {show(key)} under {'.'.join(map(str, path))}"
                self.refuse("unknown-key", message, (*path, key), hint, at_key=True)

    def text(self, said: Mapping[str, Any], key: str, path: KeyPath) -> str | None:
        value = said.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self.refuse("wrong-type", f"{key} is {kind_of(value)}; text was expected", (*path, key), "write it in quotes")
            return None
        return value

    def flag(self, said: Mapping[str, Any], key: str, *, default: bool) -> bool:
        value = said.get(key, default)
        if not isinstance(value, bool):
            self.refuse("wrong-type", f"{key} is {kind_of(value)}; true or false was expected", ("metrics", key), "write true")
            return default
        return bool(value)

    def variable(self, said: Mapping[str, Any], key: str, path: KeyPath) -> str | None:
        """The name of an environment variable; what may be a secret itself is refused."""
        value = self.text(said, key, path)
        return None if value is None else self.name_of_variable(value, key, (*path, key))

    def variables(self, said: Mapping[str, Any], key: str, path: KeyPath) -> tuple[str, ...]:
        value = said.get(key, [])
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self.refuse("wrong-type", f"{key} must be a list of names of variables", (*path, key), f"write {key}: [NAME]")
            return ()
        return tuple(name for item in items if (name := self.name_of_variable(item, key, (*path, key))))

    def name_of_variable(self, value: str, key: str, path: KeyPath) -> str | None:
        if _VARIABLE.match(value) and not _ROUTING_KEY.match(value):
            return value
        message = f"{key} must be the name of an environment variable: no secret stands in a file"
        self.refuse("bad-value", message, path, f"put the value into a variable, and write {key}: NAME_OF_IT")
        return None


def _day(value: Any) -> str | None:
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        return None


def _fields(text: str) -> list[str] | None:
    """The names in braces; None when the braces do not match."""
    try:
        return [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError:
        return None
