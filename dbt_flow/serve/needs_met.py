"""Flows with ``@needs``: they start from ``settled``, when all that they read is good, and are held, with the reason, when not.

What they read is judged by the records as they are now (:mod:`dbt_flow.pipeline.phrases`), never by what an event says: so an
event that comes twice, late or after a crash changes nothing. A run that mends what was bad settles too, and starts the held.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.phrases import Standing as TablesStanding
from dbt_flow.pipeline.phrases import standing_of
from dbt_flow.plan.arrivals import Arrival, Listener, Standing
from dbt_flow.plan.needs import Decided, brings_news, decide, too_old
from dbt_flow.records import flow_name
from dbt_flow.serve.event import Event
from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.listeners import Subscriber, Wait
from dbt_flow.state.store import Store

_AGE = re.compile(r"[\d.]+ h old")


@dataclass
class NeedsMet:
    """Judges whether flows have what they need. To be called inside a transaction of ``log``."""

    log: EventLog
    store: Store

    def hear(self, subscriber: Subscriber, event: Event, now: float) -> tuple[Decided, Standing]:
        """What becomes of a subscriber now that a run of a DAG has settled, and what it knows from then on."""
        assert subscriber.needs is not None  # noqa: S101 - whoever calls has looked
        before, flow = self.log.standing(subscriber.name), str(event.payload.get("flow_name", ""))
        wait = subscriber.wait(event.name)
        fired: Mapping[str, str] = json.loads(self.log.cursor(f"needs.fired.{subscriber.name}") or "{}")
        try:
            tables = standing_of(self.store, subscriber.needs)
        except (DbtFlowError, OSError, ValueError, KeyError) as error:  # a damaged receipt, a name with two meanings
            return self._held(subscriber, before, [str(getattr(error, "message", error))], now)
        ours = {flow_name(dag): ids for dag, ids in tables.producers.items()}
        if tables.producers and flow not in ours:
            return Decided("ignore", ("it builds nothing that is read here",)), before
        mine = [word for key in ours.get(flow, ()) if (word := tables.words.get(key)) is not None]
        if not brings_news(mine, fired):
            return Decided("ignore", ("it repeats what was started with before",)), before
        arrived = {**before.arrived, (wait.event if wait else event.name): Arrival(event.seq, event.at)}
        standing = replace(before, arrived=arrived)
        decided = decide(subscriber.needs, _flows(subscriber, arrived), _owed(ours, flow), tables.words, fired, now)
        if decided.kind == "hold":
            return self._held(subscriber, standing, list(decided.reasons), now)
        if decided.kind == "wait":
            return decided, standing
        if decided.kind == "start":
            return self._started(subscriber, decided, now)
        self._say(subscriber, "")
        return decided, replace(standing, arrived={}, held=None)

    def look_again(self, subscriber: Subscriber, now: float) -> tuple[Decided, Standing] | None:
        """What becomes of one that is held, or waits with some of what it needs, as time passes; None when nothing changed.

        A table grows too old while another is waited for; a receipt is mended, or ``accept`` says more than it did.
        """
        before = self.log.standing(subscriber.name)
        if subscriber.needs is None or (before.held is None and not before.arrived):
            return None
        fired: Mapping[str, str] = json.loads(self.log.cursor(f"needs.fired.{subscriber.name}") or "{}")
        try:
            tables = standing_of(self.store, subscriber.needs)
        except (DbtFlowError, OSError, ValueError, KeyError):
            return None  # it was told when it was held
        owed = [flow_name(dag) for dag in tables.producers]
        decided = decide(subscriber.needs, _flows(subscriber, before.arrived), owed, tables.words, fired, now)
        if decided.kind == "wait":
            old = [too_old(subscriber.needs, word.name, word.checked, now) for word in tables.words.values() if word]
            reasons = [f"waits for {', '.join(decided.reasons)}", *(one for one in old if one)]
            return self._held(subscriber, before, reasons, now) if len(reasons) > 1 else None
        if decided.kind == "hold":
            return self._held(subscriber, before, list(decided.reasons), now)
        if decided.kind == "start" and before.held is not None:
            return self._started(subscriber, decided, now)
        return None

    def _started(self, subscriber: Subscriber, decided: Decided, now: float) -> tuple[Decided, Standing]:
        self._say(subscriber, "")
        self.log.put_cursor(f"needs.fired.{subscriber.name}", json.dumps(dict(decided.builds), sort_keys=True))
        return decided, Standing(fired=now)

    def _held(self, subscriber: Subscriber, standing: Standing, reasons: Sequence[str], now: float) -> tuple[Decided, Standing]:
        held = now if standing.held is None else standing.held
        text = "; ".join(reasons[:5]) + (f"; and {len(reasons) - 5} more" if len(reasons) > 5 else "")
        told = self.log.cursor(f"needs.why.{subscriber.name}") or ""
        if _AGE.sub("", told) != _AGE.sub("", text):  # that it grows older is no news
            self.log.notice(now, subscriber.name, "held", f"{subscriber.name} is held: {text}")
        self._say(subscriber, text)
        return Decided("hold", (text,)), replace(standing, held=held)

    def _say(self, subscriber: Subscriber, why: str) -> None:
        self.log.put_cursor(f"needs.why.{subscriber.name}", why)


def _flows(subscriber: Subscriber, arrived: Mapping[str, Arrival]) -> list[str]:
    return [wait.flow for wait in subscriber.waits if wait.event in arrived]


def _owed(ours: Mapping[str, tuple[str, ...]], flow: str) -> list[str]:
    """The flows that must have settled; while nothing is known of what it reads, the one that has."""
    return list(ours) or [flow]


def with_producers(subscriber: Subscriber, dags: Sequence[Subscriber], store: Store) -> Subscriber:
    """A subscriber that names tables and no DAGs, with the DAGs that build them; with all, while no run has."""
    if subscriber.needs is None or subscriber.waits:
        return subscriber
    tables: TablesStanding | None = None
    try:
        tables = standing_of(store, subscriber.needs)
    except (DbtFlowError, OSError, ValueError, KeyError):
        tables = None
    known = [dag for dag in dags if tables and dag.name in tables.producers]
    waits = tuple(Wait(dag.finished, dag.name, "run") for dag in known or dags)
    rule = Listener(subscriber.name, tuple(wait.event for wait in waits), any=not known, zone=subscriber.zone)
    return replace(subscriber, waits=waits, rule=rule, text=f"when {subscriber.needs.text}")
