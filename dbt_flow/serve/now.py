"""Where each DAG and flow stands at this moment, in words: for ``dbt-flow list`` and the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from dbt_flow.plan.arrivals import waiting_for
from dbt_flow.serve.clockwork import next_start
from dbt_flow.serve.eventlog import LIVE, Delivery, EventLog
from dbt_flow.serve.intake import duration
from dbt_flow.serve.listeners import Subscriber


@dataclass(frozen=True)
class Now:
    """Where one stands."""

    state: Literal["running", "queued", "held", "waiting", "idle"]
    text: str
    """``running since 06:00``, ``held: waits for carrier_safety``."""
    run: str | None = None


def now_of(log: EventLog | None, subscriber: Subscriber, now: float) -> Now:
    """Where a subscriber stands; without a log, nowhere yet."""
    if log is None:
        return Now("idle", "")
    live = log.deliveries(LIVE, 1, subscriber.name)
    if live:
        return Now("running", _running(live[0], now), live[0].run)
    if log.deliveries(("ready",), 1, subscriber.name):
        return Now("queued", "due, and waits for its turn")
    standing = log.standing(subscriber.name)
    missing = " and ".join(subscriber.label(name) for name in waiting_for(subscriber.rule, standing))
    why = log.cursor(f"needs.why.{subscriber.name}") if subscriber.needs else None
    if standing.held is not None and why:
        return Now("held", f"held for {duration(now - standing.held)}: {why}")
    if standing.held is not None:
        return Now("held", f"held for {duration(now - standing.held)}: waits for {missing}")
    if standing.arrived:
        return Now("waiting", f"waits for {missing}")
    return Now("idle", "")


def next_of(subscriber: Subscriber, now: float) -> tuple[float | None, str]:
    """When it starts next, as far as that can be known, and why."""
    start = next_start(subscriber, datetime.fromtimestamp(now, timezone.utc))
    return (start.at.timestamp() if start else None), subscriber.text


def _running(delivery: Delivery, now: float) -> str:
    since = duration(now - (delivery.started or delivery.created))
    return f"running for {since}" if delivery.run else f"starting for {since}"
