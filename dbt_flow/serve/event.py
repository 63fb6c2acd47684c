"""One event, and the wire format in which it comes: Argo Events' webhook as Metaflow uses it.

``{"name": NAME, "payload": {"name": NAME, "id": ID, "timestamp": SECONDS, ...}}``. As on Argo the name that counts is the
payload's; the outer one stands in when it is missing. An event without an id gets one, and can then not be told from a second.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from dbt_flow.errors import InputError
from dbt_flow.spec.trigger import EVENT_NAME

MAX_BODY = 64 * 1024
"""Bytes of a request's body. A payload travels in an environment variable, and Linux allows 128 KiB for one."""
MAX_ENCODED = 100_000
MAX_ID = 300
PAYLOAD_VARIABLE = "METAFLOW_ARGO_EVENT_PAYLOAD_"
RESERVED = ("metaflow.", "dbt_flow.")
"""Names of events that this runtime derives from recorded results; from outside they are refused."""


@dataclass(frozen=True)
class Event:
    """Something that has happened. ``name`` and ``id`` together happen once."""

    name: str
    id: str
    payload: Mapping[str, Any]
    at: float
    """When it was received; of a run's end, when the run ended. Seconds since the epoch."""
    source: str = "webhook"
    """webhook, schedule, run, cli."""
    seq: int = 0
    """Its place in the log; 0 while it is not in it."""

    @property
    def kind(self) -> str:
        """``run`` for the end of a run, else ``event``: the words that ``current.trigger`` uses."""
        return "run" if self.source == "run" else "event"


def parse(body: bytes, at: float) -> Event:
    """The event in a request's body.

    :raises InputError: ``event-malformed`` or ``event-too-large``, with what to mend.
    """
    if len(body) > MAX_BODY:
        too_large(len(body))
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        _malformed("the body is nested too deeply", "send a flat payload")
    except ValueError as error:
        _malformed(f"the body is not JSON: {str(error)[:200]}", 'send {"name": NAME, "payload": {...}}')
    if not isinstance(document, dict):
        _malformed("the body is not an object", 'send {"name": NAME, "payload": {...}}')
    payload = document.get("payload", {})
    if not isinstance(payload, dict):
        _malformed("payload is not an object", 'send {"name": NAME, "payload": {"FIELD": "VALUE"}}')
    return make(payload.get("name", document.get("name")), payload, at)


def make(name: Any, payload: Mapping[str, Any], at: float, source: str = "webhook") -> Event:
    """An event from outside, checked.

    :raises InputError: the name or the id cannot be one, or the payload is too large.
    """
    if not isinstance(name, str) or not EVENT_NAME.match(name):
        _malformed("there is no name, or it cannot be one", "use letters, digits, dots, dashes and underscores, at most 200")
    if name.startswith(RESERVED):
        hint = "the ends of runs are read from what was recorded; choose a name that begins otherwise"
        raise InputError("event-reserved", f"{name} is the name of a run's end, and nobody may send it", hint=hint)
    said = payload.get("id")
    if isinstance(said, (int, float)) and not isinstance(said, bool):
        said = str(said)
    if said is not None and (not isinstance(said, str) or not said or len(said) > MAX_ID or not said.isprintable()):
        _malformed(f"id is not a text of 1 to {MAX_ID} characters", "send a text that is the same when the event is sent again")
    full = {**payload, "name": name, "id": said or str(uuid.uuid4())}
    full.setdefault("timestamp", int(at))
    try:
        encoded = encode(full)
    except (RecursionError, ValueError):
        _malformed("the payload cannot be written as JSON", "send a flat payload")
    if len(encoded) > MAX_ENCODED:
        too_large(len(encoded))
    return Event(name, str(full["id"]), full, at, source)


def encode(payload: Mapping[str, Any]) -> str:
    """A payload as it is kept and handed on: ASCII, so that it can stand in an environment variable."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def variables(events: list[Event]) -> dict[str, str]:
    """The environment variables from which Metaflow, and our step decorator, fill ``current.trigger``."""
    return {
        # The verdicts of a large DAG are too long for a variable, and stand in its receipt.
        f"{PAYLOAD_VARIABLE}{event.kind}_{sanitized(event.name)}": encode(
            {key: value for key, value in event.payload.items() if key != "relations"}
        )
        for event in events
        if event.source != "schedule"
    }


def sanitized(name: str) -> str:
    """An event's name as Metaflow spells it where dots are not allowed."""
    digest = base64.b32encode(hashlib.sha1(name.encode(), usedforsecurity=False).digest()).decode()
    plain = "".join(letter for letter in name if letter not in ".-@+")
    return f"{plain}_{digest[:4].lower()}"


def too_large(size: int) -> NoReturn:
    """:raises InputError: always."""
    hint = "send a reference to the data instead of the data"
    raise InputError("event-too-large", f"{size} bytes; an event may have {MAX_BODY}", hint=hint)


def _malformed(message: str, hint: str) -> NoReturn:
    raise InputError("event-malformed", message, hint=hint)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value of JSON")
