"""``dbt-flow events``: publish, list and replay events."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import click

from dbt_flow.cli.terminal import Context, emit_json, pair
from dbt_flow.errors import InputError, StateError
from dbt_flow.settings import Settings

_PATIENCE = 2.0  # seconds that a running runtime is waited for, to say who got an event


@click.group("events", short_help="Publish, list and replay events.")
def command() -> None:
    """Publish, list and replay events of dbt-flow serve.

    They are written to its log: when it does not run, they are delivered when it does.
    """


@command.command("publish")
@click.argument("name", metavar="NAME")
@click.option("--field", "-f", "words", multiple=True, metavar="NAME=VALUE", help="A field of the payload; may be repeated.")
@click.option("--payload", metavar="JSON", help="The payload, as a JSON object.")
@click.option("--id", "identity", metavar="ID", help="Twice the same name and ID is one event.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def publish(
    context: Context, /, name: str, words: tuple[str, ...], payload: str | None, identity: str | None, as_json: bool
) -> int:
    """Publish an event, as ArgoEvent(NAME).publish() does."""
    from dbt_flow.serve.event import make

    facts: dict[str, Any] = dict(pair(word, "--field") for word in words)
    if payload is not None:
        try:
            said = json.loads(payload)
        except ValueError as error:
            raise InputError(
                "event-malformed", f"--payload is not JSON: {error}", hint="""write --payload '{"x": 1}'"""
            ) from None
        if not isinstance(said, dict):
            raise InputError("event-malformed", "--payload is not an object", hint="""write --payload '{"x": 1}'""")
        facts = {**said, **facts}
    if identity:
        facts["id"] = identity
    return _keep(context.settings, make(name, facts, time.time(), "cli"), as_json)


@command.command("replay")
@click.argument("event", metavar="EVENT", type=int)
@click.option("--to", metavar="DAG|FLOW", help="To this one alone, whatever else it waits for.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def replay(context: Context, event: int, to: str | None, as_json: bool) -> int:
    """Deliver an event once more: EVENT is its number in dbt-flow events list."""
    settings = context.settings
    log = _log(settings)
    found = log.event(event)
    if found is None:
        raise InputError("usage", f"there is no event {event}", hint="see dbt-flow events list")
    payload = {**found.payload, "dbt_flow_replay_of": found.id}
    if to:
        payload["dbt_flow_replay_to"] = to
    again = replace(found, id=f"{found.id}.replay-{time.time_ns()}", payload=payload, at=time.time(), seq=0)
    return _keep(settings, replace(again, source="cli") if found.source != "run" else again, as_json)


@command.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), metavar="N", help="How many.")
@click.option("--name", metavar="NAME", help="Of this name only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def list_events(context: Context, limit: int, name: str | None, as_json: bool) -> int:
    """Show the last events, newest first, and what became of each."""
    log = _log(context.settings)
    found = log.events(limit, name)
    consumers = log.consumers(event.seq for event in found)
    rows = [
        {
            "event": event.seq,
            "at": datetime.fromtimestamp(event.at).astimezone().isoformat(timespec="seconds"),
            "name": event.name,
            "id": event.id,
            "source": event.source,
            "consumers": {row["subscriber"]: _outcome(row) for row in consumers.get(event.seq, ())},
        }
        for event in found
    ]
    if as_json:
        emit_json({"events": rows})
        return 0
    for row in rows:
        told = "; ".join(f"{who} {what}" for who, what in row["consumers"].items()) or "nobody waits for it"
        click.echo(f"{row['event']:>6}  {row['at']}  {row['name']}  {told}")
    if not rows:
        click.echo("no events yet", err=True)
    return 0


def _outcome(row: Any) -> str:
    return f"{row['outcome']} delivery {row['delivery']}" if row["delivery"] else str(row["outcome"])


def _log(settings: Settings) -> Any:
    from dbt_flow.serve.eventlog import EventLog

    return EventLog(settings.state, readonly=True)


def _keep(settings: Settings, event: Any, as_json: bool) -> int:
    """Write an event to the log; when a runtime takes it, say who got it."""
    from dbt_flow.serve.eventlog import EventLog
    from dbt_flow.serve.runtime import running_at

    log = EventLog(settings.state)
    with log.transaction():
        seq = log.add_event(event)
    if seq is None:
        there = log.find_event(event.name, event.id)
        raise StateError(
            "event-malformed", f"event {there.seq if there else '?'} has that name and id", hint="it was taken in before"
        )
    running, deadline = running_at(settings), time.monotonic() + _PATIENCE
    while running and time.monotonic() < deadline and any(one.seq == seq for one in log.untaken(10_000)):
        time.sleep(0.05)
    told = {row["subscriber"]: _outcome(row) for row in log.consumers([seq]).get(seq, ())}
    if as_json:
        emit_json({"event": seq, "id": event.id, "running": bool(running), "consumers": told})
        return 0
    words = "; ".join(f"{who} {what}" for who, what in told.items()) or "nobody waits for it"
    click.echo(f"event {seq}: {words if running else 'kept; it is delivered when dbt-flow serve runs'}")
    return 0
