"""From a settled run to news: one page per root cause, to its owner; its end when the node is good again. Pure.

A cause is told when the run is settled, so what a retry mended within the run is never told. The same cause in the next run
goes on under the same dedup key; people are written to when it begins, once a day while it lasts, and when it is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from dbt_flow.plan.planned import Plan
from dbt_flow.records import FAILED, RUN_CANCELLED, SUCCESS, Node, NodeResult, RunResult, utc_moment, utc_text
from dbt_flow.redact import document as redacted
from dbt_flow.report.causes import CANCELLED_KIND, LOST_KIND, Cause, owner_of, root_causes
from dbt_flow.report.messages import (
    APPRISE,
    LATE,
    MORE,
    NOTICE,
    PAGERDUTY,
    RESOLVE,
    RUN_ITSELF,
    TRIGGER,
    Incident,
    Message,
    Route,
    dedup_key,
    short,
)
from dbt_flow.report.rules import Rules, over
from dbt_flow.report.words import clean, count, name_of, one_line, plain_message

MOST_PAGES = 10
"""Causes of one run that are told one by one; the others are told together: a storm of pages helps nobody."""
AGAIN_AFTER = timedelta(hours=24)

_SHOWN_BLOCKED = 8


@dataclass(frozen=True)
class Trouble:
    """One thing to tell."""

    lead: str
    """The node that it is known by, or :data:`RUN_ITSELF`, :data:`LATE`, :data:`MORE`."""
    nodes: tuple[str, ...]
    headline: str
    owner: str
    severity: str
    """PagerDuty's word: critical, error, warning."""
    level: str = "error"
    """What ``alerts.page`` and ``alerts.notify`` speak of: error or warn."""
    result: NodeResult | None = None
    node: Node | None = None
    blocks: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class News:
    """What a run adds."""

    messages: tuple[Message, ...] = ()
    incidents: tuple[Incident, ...] = ()
    """Those that have changed."""
    silent: tuple[str, ...] = ()
    """In words, for the card: what is quarantined, and what has no way to be told."""


def news(rules: Rules, plan: Plan | None, result: RunResult, incidents: Iterable[Incident]) -> News:
    """What is told of a settled run.

    :param incidents: what is open on the run's DAG and target
    """
    now = utc_moment(result.finished) if result.finished else utc_moment(utc_text())
    found, silent = troubles(rules, plan, result, now.date())
    writer = _Writer(rules, plan, result, now)
    still = tuple(incident for incident in incidents if incident.open)
    for trouble in _folded(found):
        writer.tell(trouble, still)
    bad = {node for trouble in found for node in trouble.nodes}
    for incident in still:
        writer.mend(incident, bad)
    return News(tuple(writer.messages), tuple(writer.changed.values()), (*silent, *writer.unreachable))


def alarm(rules: Rules, result: RunResult, lead: str, headline: str, incidents: Iterable[Incident]) -> News:
    """News of a DAG that is not of a node: it is late, or will be. For its owner."""
    writer = _Writer(rules, None, result, utc_moment(utc_text()))
    still = tuple(incident for incident in incidents if incident.open)
    writer.tell(Trouble(lead, (lead,), headline, rules.owner, "warning"), still)
    return News(tuple(writer.messages), tuple(writer.changed.values()), tuple(writer.unreachable))


def troubles(rules: Rules, plan: Plan | None, result: RunResult, today: date) -> tuple[list[Trouble], list[str]]:
    """What is to be told, worst first, and what is known and kept silent."""
    found: list[Trouble] = []
    silent: list[str] = []
    for trouble in (*_errors(plan, result), *_warnings(plan, result)):
        terms = rules.quarantined(trouble.node, trouble.lead) if trouble.result is not None else None
        if terms is None:
            found.append(trouble)
        elif over(terms, today):
            note = f"its quarantine, owned by {terms['owner']}, ended on {terms['until']}"
            found.append(replace(trouble, headline=f"{trouble.headline}; {note}", note=note))
        else:
            why = f": {one_line(terms['reason'], 160)}" if terms.get("reason") else ""
            name = trouble.node.name if trouble.node else name_of(trouble.lead)
            silent.append(f"{name} is quarantined until {terms['until']} by {terms['owner']}{why}")
    return found, silent


def _errors(plan: Plan | None, result: RunResult) -> Iterator[Trouble]:
    causes = [cause for cause in root_causes(plan, result) if cause.kind != CANCELLED_KIND or result.status == FAILED]
    for cause in causes:
        yield _of_cause(cause, result)
    if result.status == FAILED and not causes:
        yield Trouble(RUN_ITSELF, (RUN_ITSELF,), result.reason or "the run failed", result.owner, "critical")


def _of_cause(cause: Cause, result: RunResult) -> Trouble:
    if cause.kind in (LOST_KIND, CANCELLED_KIND):
        # Which node had just begun when a run died or ran out of time is chance: the run is what is broken.
        said = f"{one_line(result.reason, 300).rstrip('.')}: {cause.headline}" if result.reason else cause.headline
        return Trouble(RUN_ITSELF, (RUN_ITSELF,), said, result.owner, "critical", blocks=cause.blocks)
    nodes = tuple(sorted(node.id for node in cause.results))
    return Trouble(
        cause.result.id, nodes, cause.headline, cause.owner, "error", result=cause.result, node=cause.node, blocks=cause.blocks
    )


def _warnings(plan: Plan | None, result: RunResult) -> Iterator[Trouble]:
    for node in result.nodes:
        if node.status == "warn":
            known = plan.by_id.get(node.id) if plan else None
            rows = f" on {count(node.failures, 'row')}" if node.failures else ""
            headline = f"test {known.name if known else name_of(node.id)} warns{rows}"
            owner = owner_of(plan, known, result.owner)
            yield Trouble(node.id, (node.id,), headline, owner, "warning", "warn", node, known)


def _folded(found: list[Trouble]) -> list[Trouble]:
    if len(found) <= MOST_PAGES:
        return found
    rest = found[MOST_PAGES - 1 :]
    names = ", ".join(name_of(trouble.lead) for trouble in rest[:_SHOWN_BLOCKED])
    headline = f"{len(rest)} more causes: {names} and others; see the card"
    level = "error" if any(trouble.level == "error" for trouble in rest) else "warn"
    nodes = tuple(node for trouble in rest for node in trouble.nodes)
    folded = Trouble(MORE, nodes, headline, rest[0].owner, "error", level)
    return [*found[: MOST_PAGES - 1], folded]


class _Writer:
    """Turns troubles and mended incidents into messages."""

    def __init__(self, rules: Rules, plan: Plan | None, result: RunResult, now: datetime) -> None:
        self.rules, self.plan, self.result, self.now = rules, plan, result, now
        self.messages: list[Message] = []
        self.changed: dict[str, Incident] = {}
        self.unreachable: list[str] = []
        self.good = {node.id for node in result.nodes if node.good}

    def tell(self, trouble: Trouble, still: Iterable[Incident]) -> None:
        """A page where pages go from here, and a message when it is new or a day has passed."""
        wanted = [trouble.level] if trouble.level == "error" else []
        pages = self.rules.page in ("warn", *wanted) and not self.rules.through_datadog
        writes = self.rules.notify in ("warn", *wanted)
        open_now = next((i for i in still if i.dedup not in self.changed and set(i.nodes) & set(trouble.nodes)), None)
        key = open_now.dedup if open_now else self._key(trouble.lead)
        told = open_now.told if open_now else ""
        page_to = page_routes(self.rules, trouble.owner) if pages else ()
        write_to = notice_routes(self.rules, trouble.owner) if writes else ()
        if pages and not page_to:
            self.unreachable.append(f"nobody can be paged for {trouble.owner}: no pagerduty in dbt_flow.yml")
        if not page_to and not write_to:
            return
        for route in page_to:
            self._add(TRIGGER, key, route, trouble)
        if write_to and (not told or self.now - utc_moment(told) >= AGAIN_AFTER):
            told = utc_text(self.now)
            for route in write_to:
                self._add(NOTICE, key, route, trouble)
        opened = open_now.opened if open_now else utc_text(self.now)
        routes = tuple(dict.fromkeys((*(open_now.routes if open_now else ()), *page_to, *write_to)))
        self.changed[key] = Incident(key, trouble.nodes, trouble.headline, trouble.owner, opened, routes, told)

    def mend(self, incident: Incident, bad: set[str]) -> None:
        """Close an incident when nothing of it is left, or note what is."""
        if incident.dedup in self.changed:
            return
        planned = {node.id for node in self.plan.nodes} if self.plan else set()
        gone = self.result.status == SUCCESS
        left = tuple(node for node in incident.nodes if node in bad or not self._mended(node, planned, gone=gone))
        if not left:
            for route in incident.routes:
                self._add(RESOLVE, incident.dedup, route, Trouble(incident.dedup, (), incident.title, incident.owner, "info"))
            self.changed[incident.dedup] = replace(incident, nodes=(), open=False)
        elif left != incident.nodes:
            self.changed[incident.dedup] = replace(incident, nodes=left)

    def _mended(self, node: str, planned: set[str], *, gone: bool) -> bool:
        if node in (RUN_ITSELF, LATE, MORE):
            return self.result.status == SUCCESS or (node == RUN_ITSELF and self.result.status != RUN_CANCELLED)
        bad_now = {result.id for result in self.result.nodes if not result.good}
        known = self.plan.by_id.get(node) if self.plan else None
        quarantined = node in bad_now and self.rules.quarantined(known, node) is not None
        return node in self.good or quarantined or (gone and node not in planned)

    def _key(self, lead: str) -> str:
        return dedup_key(self.rules.project, self.result.target, self.result.dag, lead)

    def _add(self, action: str, key: str, route: Route, trouble: Trouble) -> None:
        result = self.result
        if action == RESOLVE:
            title, body = f"{result.dag} is good again: {trouble.headline}", f"Mended in {result.run} on {result.target}."
            details: dict[str, str] = {"run": result.run}
        else:
            title = f"{result.dag}: {trouble.headline}"
            details = facts(trouble, result, self.plan)
            body = "\n".join(f"{name}: {value}" for name, value in details.items())
        links = [(self.rules.link(kind, result), words) for kind, words in (("card", "Card"), ("metaflow", "Metaflow"))]
        message = Message(
            id=short("|".join((result.run or title, result.target, action, key, route.channel, route.variable, route.to))),
            created=utc_text(self.now),
            action=action,
            dedup=key,
            route=route,
            title=one_line(title, 500),
            body=clean(body, 6_000),
            severity=trouble.severity,
            details=details,
            links=tuple((href, words) for href, words in links if href),
            dag=result.dag,
            run=result.run,
            source=f"{self.rules.project}/{result.target}",
        )
        self.messages.append(Message.from_dict(redacted(message.to_dict())))


def facts(trouble: Trouble, result: RunResult, plan: Plan | None) -> dict[str, str]:
    """All that is needed to act on a page without opening a link."""
    node, told = trouble.node, trouble.result
    names = [plan.by_id[at].name if plan and at in plan.by_id else name_of(at) for at in trouble.blocks[:_SHOWN_BLOCKED]]
    more = f" and {len(trouble.blocks) - len(names)} more" if len(trouble.blocks) > len(names) else ""
    commands = {
        "run": f"{result.run} on {result.target}, started {result.trigger}",
        "retry": f"dbt-flow retry {result.run}",
        "card": f"dbt-flow card {result.run}",
    }
    if not result.run:  # nothing has begun
        commands = {"target": result.target, "start": f"dbt-flow run {result.dag}"}
    found = {
        "cause": one_line(trouble.headline, 500),
        "node": f"{node.name} ({node.path})" if node else name_of(trouble.lead) if told else "",
        "failing rows": f"{told.failures:,}" if told and told.failures is not None else "",
        "also": f"{len(trouble.nodes) - 1:,} other nodes with the same trouble" if len(trouble.nodes) > 1 else "",
        "owner": trouble.owner,
        "blocks": f"{len(trouble.blocks):,}: {', '.join(names)}{more}" if trouble.blocks else "nothing" if told else "",
        "message": clean(plain_message(told.message), 1_500) if told and told.message else "",
        **commands,
    }
    return {name: value for name, value in found.items() if value}


def page_routes(rules: Rules, owner: str) -> tuple[Route, ...]:
    """Where a page for ``owner`` goes: the team's routing key, else everybody's."""
    for said in (rules.contact(owner), rules.contact(rules.owner)):
        if said.get("pagerduty"):
            return (Route(PAGERDUTY, said["pagerduty"]),)
    default = rules.alerts.get("pagerduty")
    return (Route(PAGERDUTY, default),) if default else ()


def notice_routes(rules: Rules, owner: str) -> tuple[Route, ...]:
    """Where a message to ``owner`` goes: the team's webhook, channel and address, else everybody's webhooks."""
    said = rules.contact(rules.reachable(owner))
    found = [Route(APPRISE, said["webhook"])] if said.get("webhook") else []
    for kind in ("slack", "email"):
        if rules.alerts.get(kind) and said.get(kind):
            found.append(Route(APPRISE, rules.alerts[kind], said[kind]))
    return tuple(found or (Route(APPRISE, name) for name in rules.alerts.get("webhooks", ())))
