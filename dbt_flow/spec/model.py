"""Every key of a DAG file: its forms, its default, a sentence. ``docs/dag-file.md`` and the JSON schema follow this file.

A new key is a field here, with a description and an example, and a paragraph in ``docs/dag-file.md``. While it has no effect,
it also has a line in :data:`NOT_YET`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic_core import CoreSchema

from dbt_flow.spec.params import Param, check_name
from dbt_flow.spec.trigger import Strict, Trigger, TriggerValue
from dbt_flow.spec.values import DURATION_SCHEMA, TEXTS_SCHEMA, Duration, Memory, OrForms, Text, Texts, TimeOfDay, Zone, refusal
from dbt_flow.yamlfile import kind_of, show

NOT_YET: dict[str, str] = {}
"""Keys that are read and checked in full, and refused when they are set to something other than their default: they have no
effect yet, and nothing is promised in silence. The change that builds one deletes its line."""

MAX_RETRIES = 4
"""Metaflow's own limit: its MAX_ATTEMPTS less the first attempt and the one that ``@catch`` may take."""


class Resources(Strict):
    """What a step needs."""

    memory: Memory | None = Field(default=None, description="Memory, in MB or GB.", examples=["8GB"])
    cpu: Annotated[float, Field(gt=0, le=1024)] | None = Field(default=None, description="Number of CPUs.", examples=[2])


class Tests(Strict):
    """What a failing test does, and which tests are left out."""

    on_fail: Literal["block", "warn"] = Field(default="block", description="block: as in dbt build. warn: go on.")
    exclude: Texts = Field(default=(), description="A dbt selection of tests to leave out.", examples=["test_type:unit"])


class RequireFresh(Strict):
    """Sources that must be fresh before anything runs."""

    select: Texts = Field(description="A dbt selection of sources.", examples=["source:fmcsa"])
    otherwise: Literal["fail", "wait", "skip"] = Field(default="fail", description="What to do when they are not.")


class Alerts(Strict):
    """Who is told of what."""

    page: Literal["error", "warn", "off"] = Field(default="off", description="What pages the owner.")
    notify: Literal["error", "warn", "off"] = Field(default="error", description="What sends the owner a message.")


class Lint(Strict):
    """What ``dbt-flow lint`` is not to tell of this DAG."""

    ignore: dict[str, str | None] = Field(
        default={}, description="Code of a finding: the reason for which it is meant.", examples=[{"built-twice": "by both"}]
    )


class Isolate(Strict):
    """Models that each run as a Metaflow step of their own: a selection with what it needs."""

    select: Texts
    resources: Resources = Resources()


def _isolate(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not value:
            raise refusal("bad-value", "an empty mapping", "write isolate: SELECTION, or delete the key")
        return tuple({"select": key, "resources": needs} for key, needs in value.items())
    return ({"select": value},)


def _fresh(value: Any) -> Any:
    return {"select": value} if isinstance(value, (str, list)) else value


def _timeout(value: Any) -> Any:
    return None if value == "none" else Duration.parse(value)


def _tags(value: Any) -> Any:
    tags = [value] if isinstance(value, str) else value
    if isinstance(tags, list):
        for tag in tags:
            if isinstance(tag, str) and (not tag.strip() or len(tag) > 500 or "\n" in tag):
                raise refusal("bad-value", f"{show(tag)} cannot be a tag", "one line, not empty, at most 500 characters")
    return tags


def _json_mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        raise refusal("wrong-type", f"a mapping was expected, not {kind_of(value)}", "write NAME: VALUE")
    return value


class _IsolateForms:
    """In the JSON schema: a selection, or a mapping of selections to what they need."""

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        needs = handler(Resources.__pydantic_core_schema__)
        return {"anyOf": [*TEXTS_SCHEMA["anyOf"], {"type": "object", "additionalProperties": needs, "minProperties": 1}]}


class DagKeys(Strict):
    """One DAG file: which dbt nodes run, when, and whose they are."""

    name: Text | None = Field(default=None, description="Only if it is equal to the file's name.", examples=["carrier_risk"])
    version: int = Field(
        default=1,
        ge=1,
        le=999,
        description="2 and more: another flow beside the deployed one, after a change of params that would break its callers.",
        examples=[2],
    )
    owner: Text = Field(description="The team that owns it: one of owners in dbt_flow.yml.", examples=["risk-analytics"])
    description: str = Field(default="", description="What it is for, in a sentence or two; cards and lists show it.")
    tags: Annotated[Texts, BeforeValidator(_tags)] = Field(
        default=(), description="Metaflow tags of every run.", examples=[["daily"]]
    )
    timezone: Zone = Field(default="UTC", description="The time zone of every time in the file.", examples=["Europe/Berlin"])
    trigger: TriggerValue = Field(
        default=Trigger(),
        description="What starts it: one of schedule, event and after; none means by hand.",
        examples=[
            {"schedule": "0 6 * * *"},
            {"after": ["carrier_reference", "carrier_safety"]},
            {"event": "carrier_files_landed"},
        ],
    )
    select: Texts = Field(default=(), description="dbt's --select: text or list.", examples=["tag:carrier_risk"])
    exclude: Texts = Field(default=(), description="dbt's --exclude: text or list.", examples=["tag:slow"])
    selector: Text | None = Field(default=None, description="dbt's --selector: a name of selectors.yml.", examples=["nightly"])
    project: Text | None = Field(
        default=None, description="The folder of a dbt project other than the default one, from the root."
    )
    target: Text | None = Field(default=None, description="The dbt target; the profile's own by default.", examples=["prod"])
    vars: Annotated[dict[str, Any], BeforeValidator(_json_mapping)] = Field(
        default={}, description="dbt vars with fixed values.", examples=[{"lookback_days": 3}]
    )
    params: dict[Annotated[str, AfterValidator(check_name)], Param] = Field(
        default={},
        description="Typed parameters of a run; each reaches dbt as the var of the same name, at run time.",
        examples=[{"as_of": {"type": "date", "default": "today"}}],
    )
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="dbt's threads; the profile's by default."
    )
    isolate: Annotated[tuple[Isolate, ...], BeforeValidator(_isolate), _IsolateForms()] = Field(
        default=(),
        description="A dbt selection of models that each run as a step of their own; all for every model.",
        examples=["tag:heavy", "all", {"tag:heavy": {"memory": "8GB"}}],
    )
    resources: Resources = Field(
        default=Resources(), description="Memory and cpu of the run.", examples=[{"memory": "8GB", "cpu": 2}]
    )
    retries: int = Field(default=0, ge=0, le=MAX_RETRIES, description="How often a failed attempt is repeated.")
    timeout: Annotated[
        Duration | None, BeforeValidator(_timeout), WithJsonSchema({"anyOf": [{"const": "none"}, DURATION_SCHEMA]})
    ] = Field(default=None, description="How long an attempt may take; none for no limit.", examples=["2h"])
    overlap: Literal["skip", "queue"] | None = Field(
        default=None, description="When due while it runs: skip (schedules' default) or queue (the default of event and after)."
    )
    tests: Tests = Field(default=Tests(), description="What a failing test does.", examples=[{"on_fail": "warn"}])
    require_fresh: Annotated[RequireFresh | None, BeforeValidator(_fresh), OrForms(*TEXTS_SCHEMA["anyOf"])] = Field(
        default=None,
        description="Sources that must be fresh: a dbt selection, or {select, otherwise: fail | wait | skip}.",
        examples=["source:fmcsa"],
    )
    reuse: Literal["off", "unchanged"] = Field(
        default="off", description="unchanged: leave out what is built already and is current."
    )
    done_by: TimeOfDay | None = Field(default=None, description="The time of day by which it must be done.", examples=["07:00"])
    alerts: Alerts = Field(
        default=Alerts(), description="What pages the owner, and what sends a message.", examples=[{"page": "error"}]
    )
    lint: Lint = Field(
        default=Lint(),
        description="Findings of dbt-flow lint that are meant, each with the reason.",
        examples=[{"ignore": {"built-twice": "by hand, after an incident"}}],
    )

    @model_validator(mode="after")
    def _fits_together(self) -> DagKeys:
        for name in self.params:
            if name in self.vars:
                raise refusal(
                    "bad-value", f"{name} stands under vars and under params", "keep one of the two", key=f"vars.{name}"
                )
        if self.selector and (self.select or self.exclude):
            message = "selector goes alone: dbt ignores select and exclude beside it"
            raise refusal("bad-value", message, "delete selector, or the others", key="selector")
        return self

    @property
    def default_overlap(self) -> str:
        """What ``overlap`` means when it is not said."""
        return "skip" if self.trigger.kind == "schedule" else "queue"
