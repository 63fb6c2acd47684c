"""What starts a DAG: a schedule, an event, other DAGs, or somebody's hand."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, WithJsonSchema, model_validator

from dbt_flow.spec.values import TEXTS_SCHEMA, Cron, Duration, OrForms, TimeOfDay, refusal, texts
from dbt_flow.yamlfile import kind_of, show

EVENT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9])?\Z", re.ASCII)
FLOW_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}\Z", re.ASCII)
_DAYS = {
    "0": "Sunday",
    "1": "Monday",
    "2": "Tuesday",
    "3": "Wednesday",
    "4": "Thursday",
    "5": "Friday",
    "6": "Saturday",
    "7": "Sunday",
}


class Strict(BaseModel):
    """Frozen; no key that we do not know; no value of another type than asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Event(Strict):
    """A named event, and which field of its payload fills which parameter."""

    name: str = Field(description="The event's name, as it is published.")
    params: dict[str, str] = Field(default={}, description="Parameter of this DAG: field of the event's payload.")


class After(Strict):
    """DAGs (or ML flows) whose good end starts this one. Exactly one of the two is filled."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of whatever this waits for."""
        return self.all or self.any

    @model_validator(mode="after")
    def _one_of_two(self) -> After:
        if bool(self.all) == bool(self.any):
            raise refusal(
                "bad-value", "after takes either all or any", "write after: [NAME, NAME], or after: {any: [NAME, NAME]}"
            )
        return self


def _schedule(value: Any) -> Any:
    if isinstance(value, list):
        if not value:
            raise refusal("bad-value", "an empty list", 'write at least one cron expression, as in "0 6 * * *"')
        return tuple(value)
    return (value,)


def _event(value: Any) -> Any:
    hint = "write event: NAME, or event: {name: NAME, params: {PARAM: FIELD}}"
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise refusal("wrong-type", f"an event's name was expected, not {kind_of(value)}", hint)
    name = value.get("name")
    if isinstance(name, str) and not EVENT_NAME.match(name):
        raise refusal(
            "bad-value",
            f"{show(name)} cannot be an event's name",
            "use letters, digits, dots, dashes and underscores",
            key="name",
        )
    return value


def _after(value: Any) -> Any:
    hint = "write after: NAME, after: [NAME, NAME], or after: {any: [NAME, NAME]}"
    if isinstance(value, (str, list)):
        value = {"all": value}
    if not isinstance(value, dict):
        raise refusal("wrong-type", f"names of DAGs were expected, not {kind_of(value)}", hint)
    result = dict(value)
    for key in ("all", "any"):
        if key in value:
            result[key] = names = texts(value[key])
            bad = next((name for name in names if not FLOW_NAME.match(name)), None)
            if bad is not None:
                raise refusal("bad-value", f"{show(bad)} cannot be a DAG's name", "name a DAG, as dbt-flow list shows it")
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice:
                raise refusal("bad-value", f"{twice} is named twice", "name it once")
    return result


def _trigger(value: Any) -> Any:
    if value == "none":
        return {}
    if isinstance(value, str):
        hint = f'write trigger: {{schedule: "{value}"}}, {{event: NAME}}, {{after: NAME}} or none'
        raise refusal("wrong-type", f"a trigger is a mapping or none, not {show(value)}", hint)
    if isinstance(value, dict):
        said = [key for key in ("schedule", "event", "after") if key in value]
        if len(said) > 1:
            raise refusal(
                "bad-value", f"a trigger has one start, and this has {' and '.join(said)}", "keep one of them", key=said[1]
            )
        if not said and not set(value) - {"within", "at_latest", "otherwise"}:
            raise refusal("bad-value", "a trigger without schedule, event or after", "write one of them, or trigger: none")
        if said == ["schedule"]:
            extra = [key for key in ("within", "at_latest", "otherwise") if key in value]
            if extra:
                raise refusal(
                    "bad-value", f"{extra[0]} goes with event and after, not with schedule", f"delete {extra[0]}", key=extra[0]
                )
    return value


_EVENT_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "params": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    ]
}
_AFTER_SCHEMA = {
    "anyOf": [
        *TEXTS_SCHEMA["anyOf"],
        {"type": "object", "properties": {"all": TEXTS_SCHEMA}, "required": ["all"], "additionalProperties": False},
        {"type": "object", "properties": {"any": TEXTS_SCHEMA}, "required": ["any"], "additionalProperties": False},
    ]
}


class Trigger(Strict):
    """What starts a DAG: one of schedule, event and after."""

    schedule: Annotated[tuple[Cron, ...], BeforeValidator(_schedule), WithJsonSchema(TEXTS_SCHEMA)] = Field(
        default=(), description="A cron expression of five fields, or a list of them.", examples=["0 6 * * *"]
    )
    event: Annotated[Event | None, BeforeValidator(_event), WithJsonSchema(_EVENT_SCHEMA)] = Field(
        default=None,
        description="An event's name, or {name, params: {PARAM: FIELD}} where fields of its payload fill parameters.",
        examples=["carrier_files_landed", {"name": "carrier_files_landed", "params": {"as_of": "date"}}],
    )
    after: Annotated[After | None, BeforeValidator(_after), WithJsonSchema(_AFTER_SCHEMA)] = Field(
        default=None,
        description="The DAG, or list of DAGs (all of them), or {any: [...]}, whose good end starts this one.",
        examples=["carrier_reference", ["carrier_reference", "carrier_safety"], {"any": ["carrier_reference"]}],
    )
    within: Duration | None = Field(
        default=None, description="How far apart the starts may lie that belong together.", examples=["24h"]
    )
    at_latest: TimeOfDay | None = Field(default=None, description="The time of day until which to wait.", examples=["07:00"])
    otherwise: Literal["hold", "skip", "run"] = Field(
        default="hold", description="What to do when they do not all come: hold (wait and tell the owner), skip or run."
    )

    @property
    def kind(self) -> str:
        """``schedule``, ``event``, ``after`` or ``none``."""
        return "schedule" if self.schedule else "event" if self.event else "after" if self.after else "none"

    _zone: str = PrivateAttr(default="UTC")

    def in_zone(self, timezone: str) -> Trigger:
        """The same trigger, that knows the zone of its schedule."""
        copy = self.model_copy()
        copy._zone = timezone
        return copy

    @property
    def text(self) -> str:
        """In words: ``every day at 06:00 Europe/Berlin``, ``after carrier_reference``, ``on event landed``, ``by hand``."""
        if self.schedule:
            return " and ".join(_cron_words(cron, self._zone) for cron in self.schedule)
        if self.event:
            return f"on event {self.event.name}"
        if self.after:
            names, joint = self.after.names, " and " if self.after.all else " or "
            return "after " + (joint.join(names) if len(names) < 3 else ", ".join(names[:-1]) + joint + names[-1])
        return "by hand"


TriggerValue = Annotated[
    Trigger,
    BeforeValidator(_trigger),
    OrForms({"const": "none", "description": "By hand, through the API, or by another flow."}),
]


def _cron_words(cron: str, timezone: str) -> str:
    minute, hour, day, month, weekday = cron.split()
    if not (minute.isdigit() and month == "*"):
        return f"{cron} {timezone}"
    if hour == day == weekday == "*":
        return f"every hour at :{int(minute):02d}"
    if not hour.isdigit():
        return f"{cron} {timezone}"
    at = f"at {int(hour):02d}:{int(minute):02d} {timezone}"
    if day == weekday == "*":
        return f"every day {at}"
    if day == "*" and weekday in ("1-5", "MON-FRI"):
        return f"every weekday {at}"
    if day == "*" and weekday in _DAYS:
        return f"every {_DAYS[weekday]} {at}"
    if weekday == "*" and day.isdigit():
        return f"on day {int(day)} of every month {at}"
    return f"{cron} {timezone}"
