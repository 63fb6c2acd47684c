"""The nouns of a deployment: a flow as it is wanted, as it was applied, as a scheduler has it. Frozen, plain JSON outside."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from dbt_flow.errors import Place
from dbt_flow.records import Record
from dbt_flow.spec import Dag

PARTS: Mapping[str, str] = {
    "yaml": "the DAG file",
    "dbt": "dbt code",
    "code": "the flow's code",
    "versions": "versions",
    "surroundings": "the surroundings",
}
"""What a flow is made of, in the order in which a change is told."""

OWN_CODE = "dbt-flow's own code"
"""The item of a DAG's ``code``: no version of dbt-flow is named, since what runs is the code that travels."""

_VERSIONED = re.compile(r"(?P<family>.+?)(?:V(?P<version>[1-9][0-9]*))?\Z")


def digest(*values: Any) -> str:
    """Sixteen letters that say whether values are the same."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def counted(number: int, noun: str) -> str:
    """``1 flow``, ``2 flows``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def family_of(flow: str) -> tuple[str, int]:
    """The flow without its version, and the version: ``CarrierRiskV2`` is ``CarrierRisk``, 2."""
    found = _VERSIONED.match(flow)
    assert found is not None  # noqa: S101 - every name matches
    return found["family"], int(found["version"] or 1)


@dataclass(frozen=True)
class Space:
    """Where in a Metaflow project a flow is deployed: production, or a branch."""

    project: str
    branch: str | None = None

    @property
    def name(self) -> str:
        """For people and for the state: ``production`` or ``branch-NAME``."""
        return f"branch-{self.branch}" if self.branch else "production"

    @property
    def metaflow_branch(self) -> str:
        """As Metaflow names it: ``prod`` or ``test.NAME``."""
        return f"test.{self.branch}" if self.branch else "prod"

    @property
    def variables(self) -> dict[str, str]:
        """What tells a DAG's flow file."""
        return {"DBT_FLOW_BRANCH": self.branch} if self.branch else {"DBT_FLOW_PRODUCTION": "1"}

    @property
    def options(self) -> list[str]:
        """What tells an ML flow with ``@project``."""
        return ["--branch", self.branch] if self.branch else ["--production"]


@dataclass(frozen=True)
class Input(Record):
    """A parameter of a flow, as its callers know it."""

    type: str
    required: bool = False

    @property
    def text(self) -> str:
        """``date optional``."""
        return f"{self.type} {'required' if self.required else 'optional'}"

    @classmethod
    def parse(cls, text: str) -> Input:
        """The inverse of :attr:`text`."""
        kind, _, need = text.partition(" ")
        return cls(kind, need == "required")


@dataclass(frozen=True)
class Wanted:
    """A flow as the files say it."""

    name: str
    """Of a DAG its name, of an ML flow its class."""
    kind: Literal["dag", "flow"]
    flow: str
    """Its name in Metaflow, which is its identity here."""
    path: Path
    place: Place
    """Where its trigger stands, else its file."""
    owner: str = ""
    description: str = ""
    starts: str = "by hand"
    """What starts it, in words."""
    inputs: Mapping[str, Input] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of each of :data:`PARTS`: its items by name, each with a digest."""
    tags: tuple[str, ...] = ()
    in_project: bool = True
    """False for an ML flow without ``@project``: it has no branches."""
    dag: Dag | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Of an ML flow: what it says of itself (:func:`dbt_flow.launch.read_flow`)."""

    @cached_property
    def digest(self) -> str:
        """Of all that is deployed."""
        return digest(self.name, self.kind, self.parts, {name: one.text for name, one in self.inputs.items()})

    @property
    def part_digests(self) -> dict[str, str]:
        """One for each part."""
        return {part: digest(items) for part, items in self.parts.items()}

    def input_place(self, name: str) -> Place:
        """Where an input stands."""
        return self.dag.place(f"params.{name}") if self.dag else self.place


@dataclass(frozen=True)
class Applied(Record):
    """A flow as it was applied last: the state's entry, or as much of it as its marks on the scheduler say."""

    flow: str
    name: str
    kind: str
    digest: str
    seal: str = ""
    """Digest of what the scheduler had when it was done."""
    file: str = ""
    inputs: Mapping[str, Mapping[str, Any]] | None = None
    part_digests: Mapping[str, str] | None = None
    parts: Mapping[str, Mapping[str, str]] | None = None
    """None when the state was lost: then only :attr:`part_digests` are known."""
    at: str = ""
    by: str = ""
    revision: str = ""

    @property
    def known_inputs(self) -> Mapping[str, Input] | None:
        """None when nobody knows."""
        return None if self.inputs is None else {name: Input.from_dict(one) for name, one in self.inputs.items()}


@dataclass(frozen=True)
class Seen:
    """A flow as the scheduler has it."""

    flow: str
    resource: str
    """Its name there."""
    seal: str
    """Digest of its definition, schedule and triggers as they are now."""
    marks: Mapping[str, str] = field(default_factory=dict)
    """What :func:`marks_of` left there; empty when somebody else deployed it, or it is half-made."""
    token: str | None = None
    """Metaflow's production token."""
    missing: tuple[str, ...] = ()
    """What belongs to it and is not there: ``schedule``, ``trigger``."""

    @property
    def applied(self) -> Applied | None:
        """What its marks say; None for a flow that is not ours."""
        return applied_from(self.marks, self.flow)


MARK_VERSION = "1"
_CHUNK = 250  # characters: a tag's value on Step Functions has room for 256


def marks_of(wanted: Wanted, space: Space, seal: str) -> dict[str, str]:
    """What is left with a flow on the scheduler: enough to rebuild the state when it is lost. Values fit AWS's tags."""
    inputs = ", ".join(f"{name} {one.text}" for name, one in sorted(wanted.inputs.items()))
    chunks = [inputs[start : start + _CHUNK] for start in range(0, len(inputs), _CHUNK)]
    return {
        "version": MARK_VERSION,
        "project": space.project,
        "space": space.name,
        "name": wanted.name,
        "kind": wanted.kind,
        "digest": wanted.digest,
        "file": wanted.place.file[:_CHUNK],
        "seal": seal,
        **{f"part.{part}": found for part, found in wanted.part_digests.items()},
        **{f"inputs.{number:02d}": chunk for number, chunk in enumerate(chunks)},
    }


def applied_from(marks: Mapping[str, str], flow: str) -> Applied | None:
    """The inverse of :func:`marks_of`, as far as it goes; None for marks that are not whole, or not ours."""
    if marks.get("version") != MARK_VERSION or not {"name", "kind", "digest", "seal"} <= set(marks):
        return None
    said = "".join(marks[key] for key in sorted(marks) if key.startswith("inputs."))
    inputs = {}
    for one in said.split(", ") if said else ():
        name, _, text = one.partition(" ")
        inputs[name] = Input.parse(text).to_dict()
    parts = {key.removeprefix("part."): value for key, value in marks.items() if key.startswith("part.")}
    return Applied(flow, marks["name"], marks["kind"], marks["digest"], marks["seal"], marks.get("file", ""), inputs, parts)
