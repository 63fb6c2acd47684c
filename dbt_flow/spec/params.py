"""Typed parameters of a run: they become Metaflow Parameters, and reach dbt as the var of the same name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from dbt_flow.errors import DbtFlowError, InputError, Refusals
from dbt_flow.spec.trigger import Strict
from dbt_flow.spec.values import refusal
from dbt_flow.yamlfile import did_you_mean, kind_of, show

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z", re.ASCII)
RESERVED = frozenset(
    {"params", "with", "tag", "tags", "namespace", "obj", "decospecs", "run_id_file", "max_num_splits", "max_workers"}
    | {"max_log_size", "user_namespace", "run_id", "task_id", "runner_attribute_file", "origin_run_id", "help", "config"}
    | {
        "cmd",
        "index",
        "input",
        "next",
        "merge_artifacts",
        "foreach_stack",
        "script_name",
        "dag",
        "result",
        "card_document",
        "start",
        "end",
    }
)
"""Names that Metaflow, or the flow that runs a DAG, keeps for itself."""

WORDS = {"today": 0, "yesterday": -1, "tomorrow": 1}
"""What a date's default may say instead of a date: days from today, in the DAG's time zone."""

Value = str | int | float | bool


class Param(Strict):
    """One parameter of a run."""

    type: Literal["str", "int", "float", "bool", "date"] = Field(description="str, int, float, bool or date.")
    default: Any = Field(default=None, description="Its value when nobody gives one; a date may be today or yesterday.")
    description: str = Field(default="", description="What it means.")

    @model_validator(mode="after")
    def _default_fits(self) -> Param:
        good = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "date": (str,)}[self.type]
        value = self.default
        if value is None:
            return self
        if not isinstance(value, good) or (isinstance(value, bool) and self.type != "bool"):
            raise refusal(
                "wrong-type",
                f"the default {show(value)} is {kind_of(value)}, not {self.type}",
                _HINTS[self.type],
                key="default",
            )
        if self.type == "date" and value not in WORDS and not _is_date(str(value)):
            raise refusal("bad-value", f"the default {show(value)} is not a date", _HINTS["date"], key="default")
        return self

    @property
    def required(self) -> bool:
        """True when a run cannot start without being told."""
        return self.default is None

    def parse(self, value: Any, today: date) -> Value:
        """What a run gets for ``value`` (from a command line, an event or the default): plain JSON; a date is ``2026-11-21``.

        :raises ValueError: when it does not fit the type
        """
        text = str(value).strip()
        if self.type == "str":
            return value if isinstance(value, str) else text
        if self.type == "bool":
            if text.lower() not in ("true", "false"):
                raise ValueError("true or false was expected")
            return text.lower() == "true"
        if self.type == "date":
            if text in WORDS:
                return (today + timedelta(days=WORDS[text])).isoformat()
            if not _is_date(text):
                raise ValueError("a date like 2026-11-21 was expected, or today")
            return text
        if isinstance(value, bool):
            raise ValueError("a number was expected")
        if self.type == "int":
            if not re.fullmatch(r"[-+]?[0-9]{1,30}", text):
                raise ValueError("a whole number was expected")
            return int(text)
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("a number was expected")
        return number


_HINTS = {
    "str": "put it in quotes",
    "int": "write a whole number",
    "float": "write a number",
    "bool": "write true or false",
    "date": "write today, or a date like 2026-11-21",
}


def check_name(name: str) -> str:
    """The name of a parameter: Python, Metaflow and dbt must all take it."""
    if not NAME.match(name):
        raise refusal("bad-name", f"{show(name)} cannot be a parameter's name", "use a-z, 0-9 and _, a letter first")
    if name in RESERVED:
        raise refusal("bad-name", f"Metaflow keeps the name {name} for itself", f"choose another name, such as {name}_value")
    return name


def resolve(params: Mapping[str, Param], given: Mapping[str, Any], today: date) -> dict[str, Value]:
    """The value of every parameter of a run: what was given, else the default.

    :param today: in the DAG's time zone
    :raises DbtFlowError: a name that is not declared, a value of the wrong type, a required one that is missing; all at once
    """
    errors: list[DbtFlowError] = []
    for name in given:
        if name not in params:
            near = did_you_mean(name, params)
            known = f"the parameters are: {', '.join(params)}" if params else "this DAG has no params"
            errors.append(
                InputError("bad-value", f"no parameter {show(name)}", hint=f"did you mean {near}?" if near else known)
            )
    values: dict[str, Value] = {}
    for name, param in params.items():
        value = given.get(name, param.default)
        if value is None:
            errors.append(InputError("bad-value", f"the parameter {name} has no value", hint=f"give one: --param {name}=VALUE"))
            continue
        try:
            values[name] = param.parse(value, today)
        except ValueError as error:
            message = f"the parameter {name} is {show(value)}: {error}"
            errors.append(InputError("bad-value", message, hint=_HINTS[param.type]))
    if errors:
        raise errors[0] if len(errors) == 1 else Refusals(errors)
    return values


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
