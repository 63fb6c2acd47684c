"""The small values of a DAG file: durations, times of day, cron expressions, time zones, selections, names.

Each is a plain function from what YAML holds to what the code works with, and a type that pydantic knows. What cannot be read
raises :func:`refusal`, whose kind is one of :data:`dbt_flow.errors.CODES`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from dbt_flow.yamlfile import did_you_mean, kind_of, show

_DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?\Z", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\Z", re.ASCII)
_MEMORY = re.compile(r"([1-9]\d{0,6})(MB|GB)\Z", re.ASCII)
_YEAR = 365 * 86400

DURATION_SCHEMA = {
    "type": "string",
    "pattern": r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
    "examples": ["90m", "2h", "1h30m"],
}
TIME_SCHEMA = {"type": "string", "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "examples": ["07:00"]}
TEXTS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
    ]
}


def refusal(code: str, message: str, hint: str, *, key: str = "") -> PydanticCustomError:
    """An error that pydantic collects and :mod:`dbt_flow.spec.problems` gives a place; braces in it are safe.

    :param key: what it is about, inside the value that is checked; dotted
    """
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint, "key": key})


class OrForms:
    """In the JSON schema: the value's own schema, or one of these shorter forms."""

    def __init__(self, *forms: dict[str, Any]) -> None:
        self.forms = forms

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [*self.forms, handler(schema)]}


@dataclass(frozen=True)
class Duration:
    """A length of time, as written."""

    seconds: int
    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, value: Any) -> Duration:
        """``90m``, ``2h``, ``1h30m``, ``1d``, ``45s``.

        :raises PydanticCustomError: when it cannot be read
        """
        if isinstance(value, Duration):
            return value
        hint = "write a number with d, h, m or s, as in 90m, 2h or 1h30m"
        if isinstance(value, int) and not isinstance(value, bool):
            raise refusal(
                "bad-duration",
                f"the duration {show(value)} has no unit",
                f"write {value}m for minutes, or {value}s for seconds",
            )
        if not isinstance(value, str):
            raise refusal("wrong-type", f"a duration was expected, not {kind_of(value)}", hint)
        match = _DURATION.match(value)
        if not match or not value:
            raise refusal("bad-duration", f"{show(value)} is not a duration", hint)
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if not 0 < total <= _YEAR:
            raise refusal("bad-duration", f"the duration {show(value)} is not between 1s and 365d", hint)
        return cls(total, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return dict(DURATION_SCHEMA)


def time_of_day(value: Any) -> str:
    """``"07:00"``, kept as text."""
    hint = 'write hours and minutes, as in "07:00"'
    if not isinstance(value, str):
        raise refusal("wrong-type", f"a time of day was expected, not {kind_of(value)}", hint)
    if not _TIME.match(value):
        raise refusal("bad-value", f"{show(value)} is not a time of day", hint)
    return value


def zone(value: Any) -> str:
    """The name of a time zone, as the tz database spells it."""
    hint = "write a name of the tz database, as in Europe/Berlin or UTC"
    if not isinstance(value, str):
        raise refusal("wrong-type", f"a time zone was expected, not {kind_of(value)}", hint)
    if value == "UTC":
        return value
    if not _known_zone(value):
        names = zone_names()
        near = did_you_mean(value, names) or did_you_mean(value, {name.lower() for name in names})
        spelt = next((name for name in names if near and name.lower() == near.lower()), None)
        raise refusal("bad-timezone", f"nobody knows the time zone {show(value)}", f"did you mean {spelt}?" if spelt else hint)
    return value


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """All time zones with a place in their name, and UTC."""
    return frozenset(name for name in available_timezones() if "/" in name or name == "UTC")


@lru_cache(maxsize=64)
def _known_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except Exception:
        return False
    # ZoneInfo finds "europe/berlin" on file systems that ignore case; only the spelling that every machine knows is good.
    return name in available_timezones()


def cron(value: Any) -> str:
    """A cron expression of five fields that comes true on some day; blanks are made single."""
    hint = 'five fields: minute, hour, day of month, month, day of week; as in "0 6 * * 1-5"'
    if not isinstance(value, str):
        raise refusal("wrong-type", f"a cron expression was expected, not {kind_of(value)}", hint)
    text = " ".join(value.split())
    fields = len(text.split())
    if text.startswith("@"):
        raise refusal("bad-cron", f"{show(value)} is a nickname, not a cron expression", hint)
    if fields != 5 or len(text) > 200:
        raise refusal("bad-cron", f"{show(value)} has {fields} fields, not five", hint)
    try:
        next(CronSim(text, datetime(2024, 1, 1)))
    except StopIteration:
        raise refusal(
            "bad-cron", f"{show(value)} names a day that never comes", "check the day of month and the month"
        ) from None
    except (CronSimError, AssertionError, ValueError, TypeError) as error:
        reason = str(error).replace("Bad ", "the field is wrong: ")
        if text.split()[2].isdigit() and "day-of-month" in reason and int(text.split()[2]) <= 31:
            reason = "it names a day that never comes"
        raise refusal("bad-cron", f"{show(value)} is not a cron expression ({reason or 'unknown form'})", hint) from None
    return text


def texts(value: Any) -> tuple[str, ...]:
    """Text, or a list of texts, as a tuple."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise refusal("wrong-type", f"text or a list of texts was expected, not {kind_of(value)}", "write TEXT or [TEXT, TEXT]")
    for item in value:
        if not isinstance(item, str):
            hint = (
                f'put it in quotes: "{show(item)}"'
                if not isinstance(item, (dict, list)) and item is not None
                else "write [TEXT, TEXT]"
            )
            raise refusal("wrong-type", f"a list of texts holds {kind_of(item)}", hint)
        if not item.strip():
            raise refusal("bad-value", "an empty text", "write something, or delete the key")
    if not value:
        raise refusal("bad-value", "an empty list", "write at least one item, or delete the key")
    return tuple(value)


def filled(value: Any) -> str:
    """Text that is not blank."""
    if not isinstance(value, str):
        hint = f'put it in quotes: "{show(value)}"' if isinstance(value, (int, float)) else "write TEXT"
        raise refusal("wrong-type", f"text was expected, not {kind_of(value)}", hint)
    if not value.strip():
        raise refusal("bad-value", "an empty text", "write something, or delete the key")
    return value


def memory(value: Any) -> str:
    """``8GB`` or ``512MB``."""
    if not isinstance(value, str) or not _MEMORY.match(value):
        raise refusal("bad-value", f"{show(value)} is not an amount of memory", "write 512MB or 8GB")
    return value


def megabytes(text: str) -> int:
    """The number that Metaflow's ``@resources`` takes."""
    number, unit = text[:-2], text[-2:]
    return int(number) * (1024 if unit == "GB" else 1)


Cron = Annotated[str, BeforeValidator(cron), WithJsonSchema({"type": "string", "examples": ["0 6 * * *", "*/15 8-18 * * 1-5"]})]
Text = Annotated[str, BeforeValidator(filled), WithJsonSchema({"type": "string", "minLength": 1})]
Texts = Annotated[tuple[str, ...], BeforeValidator(texts), WithJsonSchema(TEXTS_SCHEMA)]
TimeOfDay = Annotated[str, BeforeValidator(time_of_day), WithJsonSchema(TIME_SCHEMA)]
Zone = Annotated[str, BeforeValidator(zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin", "UTC"]})]
Memory = Annotated[str, BeforeValidator(memory), WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]*(MB|GB)$"})]
