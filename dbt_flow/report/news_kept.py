"""Where news rests until it is sent, and what is open until it is mended; and the rules of a DAG, for runs that left none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.report.messages import Incident, Message, short
from dbt_flow.report.outbox import Outbox
from dbt_flow.state.store import Store, encode, get_json, put_json


def put_news(store: Store, target: str, dag: str, messages: tuple[Message, ...], incidents: tuple[Incident, ...]) -> None:
    """Keep messages in the outbox, then what is open: a crash in between tells twice under one key, never not at all."""
    Outbox(store).put(messages)
    for incident in incidents:
        put_json(store, f"alerts/{target}/{dag}/{short(incident.dedup)}.json", incident.to_dict())


def open_incidents(store: Store, target: str, dag: str) -> tuple[Incident, ...]:
    """What was told as broken and is not mended; a damaged document costs itself."""
    found = []
    for name in store.list(f"alerts/{target}/{dag}"):
        try:
            document = get_json(store, f"alerts/{target}/{dag}/{name}")
            incident = Incident.from_dict(document or {})
        except (DbtFlowError, TypeError):
            continue
        if incident.open:
            found.append(incident)
    return tuple(found)


def remember_rules(store: Store, dag: str, rules: Mapping[str, Any]) -> None:
    """Keep a DAG's rules, for a run that dies before it has written a word; costs nothing while they stay the same."""
    raw = encode(dict(rules))
    if store.get(f"rules/{dag}.json") != raw:
        store.put(f"rules/{dag}.json", raw)


def remembered_rules(store: Store, dag: str) -> Mapping[str, Any]:
    """The rules of the DAG's last start; empty when nothing is known."""
    try:
        found = get_json(store, f"rules/{dag}.json")
    except DbtFlowError:
        return {}
    return found if isinstance(found, Mapping) else {}
