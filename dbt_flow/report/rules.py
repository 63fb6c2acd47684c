"""Who is told of what, for one DAG: a frozen value that travels with the run, so that a run that died can be told by anybody.

It holds names of environment variables where secrets are; never a secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from dbt_flow.destinations import DATADOG_VARIABLES
from dbt_flow.records import Node, Record, RunResult
from dbt_flow.report.words import name_of
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag


@dataclass(frozen=True)
class Rules(Record):
    """What a DAG's file and ``dbt_flow.yml`` say of telling."""

    project: str = ""
    """The Metaflow project."""
    dag: str = ""
    owner: str = ""
    page: str = "off"
    notify: str = "error"
    done_by: str | None = None
    timezone: str = "UTC"
    scheduled: tuple[str, ...] = ()
    """The cron expressions of a DAG on a schedule."""
    alerts: Mapping[str, Any] = field(default_factory=dict)
    """:class:`dbt_flow.destinations.Alerting` as plain JSON."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def through_datadog(self) -> bool:
        """Whether pages go through Datadog's monitors, and not from here."""
        return bool(self.alerts.get("datadog"))

    def contact(self, owner: str) -> Mapping[str, str]:
        """How ``owner`` is reached: a team of ``dbt_flow.yml``, also when dbt names it by its address."""
        if owner in self.owners:
            return self.owners[owner]
        return next((said for said in self.owners.values() if owner and owner == said.get("email")), {})

    def reachable(self, owner: str) -> str:
        """``owner`` if it is a team that we know, else the DAG's owner: a page for a stranger must still reach somebody."""
        return owner if self.contact(owner) else self.owner

    def quarantined(self, node: Node | None, node_id: str) -> Mapping[str, str] | None:
        """The terms under which a test is known to be bad, over or not; None for every other. By its name, or its id."""
        names = (node_id, *((node.id, node.name) if node else (name_of(node_id),)))
        for terms in self.alerts.get("quarantine", ()):
            if terms["test"] in names:
                return dict(terms)
        return None

    def link(self, kind: str, result: RunResult) -> str | None:
        """Where the run's ``card`` is served, or its page in ``metaflow``'s UI; None where nobody says."""
        pattern = self.links.get(kind)
        if not pattern:
            return None
        number = result.run.rpartition("/")[2]
        return pattern.format(project=self.project, target=result.target, dag=result.dag, flow=result.flow, run=number)

    def query_page(self, target: str, flow: str, run: str) -> str:
        """Where a query of the run is shown, with ``{query}`` for its id; empty where nobody says."""
        told = {"project": self.project, "target": target, "dag": self.dag, "flow": flow, "run": run}
        return self.links.get("query", "").format(**told, query="{query}")


def rules_of(settings: Settings, dag: Dag) -> Rules:
    """What is said of ``dag``."""
    said = settings.destinations
    return Rules(
        project=settings.project,
        dag=dag.name,
        owner=dag.owner,
        page=dag.alerts.page,
        notify=dag.alerts.notify,
        done_by=dag.done_by,
        timezone=dag.timezone,
        scheduled=tuple(dag.trigger.schedule or ()),
        alerts=_plain(said.alerts),
        metrics=_plain(said.metrics),
        links=dict(said.links),
        owners=_teams(settings),
    )


def _teams(settings: Settings) -> dict[str, dict[str, str]]:
    return {team: {k: v for k, v in contacts.items() if k != "description"} for team, contacts in settings.owners.items()}


def rules_of_flow(settings: Settings, flow: str, owners: Sequence[str]) -> Rules:
    """What is said of a flow that is no DAG: its owner is the first of ``owners`` that is a team, and hears of it."""
    said = settings.destinations
    known = Rules(
        dag=flow, project=settings.project, alerts=_plain(said.alerts), links=dict(said.links), owners=_teams(settings)
    )
    owner = next((owner for owner in owners if known.contact(owner)), next(iter(owners), ""))
    return replace(known, owner=owner)


def over(terms: Mapping[str, str], today: date) -> bool:
    """Whether a quarantine has run out."""
    return today.isoformat() > terms["until"]


def metrics_on(rules: Rules, environ: Mapping[str, str] | None = None) -> bool:
    """Whether metrics are sent: Datadog's own variables are set, or ``metrics`` says where, and does not say off."""
    environ = os.environ if environ is None else environ
    said = rules.metrics
    if said.get("off"):
        return False
    return bool(said.get("dogstatsd") or said.get("api") or any(environ.get(name) for name in DATADOG_VARIABLES))


def _plain(value: Any) -> Any:
    """A dataclass as JSON, without what was not said."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        items = {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
        return {name: item for name, item in items.items() if item is not None and item != []}
    return value
