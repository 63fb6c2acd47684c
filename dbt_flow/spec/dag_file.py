"""A DAG, checked and frozen: its keys, its name, and where each key stands."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Any

from pydantic import PrivateAttr, ValidationError

from dbt_flow.errors import DbtFlowError, InputError, Place, Refusals
from dbt_flow.records import check_version, flow_name
from dbt_flow.spec.merge import Merged
from dbt_flow.spec.model import NOT_YET, DagKeys
from dbt_flow.spec.params import Value, resolve
from dbt_flow.spec.problems import Problem, problems
from dbt_flow.yamlfile import Document, show
from dbt_flow.yamlfile.naming import versioned

VERSION = 1
"""Of :meth:`Dag.to_dict`."""

NAME = re.compile(r"[a-z][a-z0-9_]*\Z", re.ASCII)
MAX_NAME = 60
"""Argo and Step Functions put project and branch before the name, and allow 63 and 80 characters for all of it."""

RESERVED = frozenset(
    {"FlowSpec", "Flow", "Run", "Step", "Task", "Parameter", "Config", "IncludeFile", "JSONType", "Metaflow", "DataArtifact"}
    | {"Runner", "Deployer", "NBRunner", "NBDeployer", "DbtFlow", "FlowMutator", "StepMutator", "S3"}
)
"""Class names that Metaflow, or the flow file that runs every DAG, has already."""


@dataclass(frozen=True)
class Selection:
    """What dbt is asked to select."""

    select: tuple[str, ...]
    exclude: tuple[str, ...]
    selector: str | None
    claimed: bool
    """True when the file says nothing: then the models say it, with ``meta: {dag: NAME}`` in their dbt config."""


class Dag(DagKeys):
    """One DAG file with its defaults. The fields are the YAML's keys; what was not written has its default."""

    name: str

    _file: str = PrivateAttr(default="")
    _places: dict[str, Place] = PrivateAttr(default_factory=dict)
    _written: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def file(self) -> str:
        """The DAG file, relative to the root."""
        return self._file

    @property
    def flow_name(self) -> str:
        """The name of its Metaflow flow: ``carrier_risk`` is ``CarrierRisk``."""
        return flow_name(self.name)

    @property
    def selection(self) -> Selection:
        """What dbt is asked to select."""
        claimed = not (self.select or self.exclude or self.selector)
        select = (f"config.meta.dag:{self.name}",) if claimed else self.select
        return Selection(select, self.exclude, self.selector, claimed)

    @property
    def origins(self) -> dict[str, str]:
        """For each key that was written, dotted: the ``file:line`` it came from."""
        return {key: f"{place.file}:{place.line}" for key, place in self._places.items()}

    @property
    def written(self) -> dict[str, Any]:
        """The keys as written, defaults files included."""
        return dict(self._written)

    def place(self, key: str = "") -> Place:
        """Where ``key`` (dotted: ``vars.lookback_days``) stands; the nearest key above it, else the file."""
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            place = self._places.get(".".join(parts[:length]))
            if place:
                return place
        return Place(self.file)

    def parameters(self, given: Mapping[str, Any], today: date) -> dict[str, Value]:
        """The value of every parameter of a run: what was given, else its default.

        :param today: in :attr:`timezone`
        :raises DbtFlowError: for what does not fit, all at once
        """
        return resolve(self.params, given, today)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON that :meth:`from_dict` reads; it travels in a Metaflow Config."""
        return {
            "version": VERSION,
            "name": self.name,
            "flow_name": self.flow_name,
            "file": self.file,
            "keys": self._written,
            "places": {key: [place.file, place.line, place.column, place.excerpt] for key, place in self._places.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Dag:
        """The inverse of :meth:`to_dict`.

        :raises DbtFlowError: when it comes from a newer version, or does not pass this version's checks
        """
        check_version(data, "a DAG")
        file = str(data.get("file", ""))
        places = {key: Place(*place) for key, place in data.get("places", {}).items()}
        try:
            return _checked(str(data["name"]), file, dict(data.get("keys", {})), places)
        except ValidationError as error:
            found = problems(error.errors(), data.get("keys", {}), DagKeys)
            refused = [InputError(p.code, p.message, place=Place(file), hint=p.hint) for p in found]
            raise refused[0] if len(refused) == 1 else Refusals(refused) from None


def build(merged: Merged, name: str) -> tuple[Dag | None, list[DbtFlowError]]:
    """The DAG that ``merged`` describes, or all that is wrong with it."""
    written = dict(merged.data)
    found = _name_problems(name, written.pop("name", None)) + _nothings(written)
    for problem in found:
        if problem.path and problem.path[0] in written:
            del written[str(problem.path[0])]
    dag = None
    number = written.get("version")
    try:
        full = versioned(name, number) if isinstance(number, int) else name
        dag = _checked(full, merged.document.file, written, merged.places())
        found += not_yet(dag)
    except ValidationError as error:
        found += problems(error.errors(), written, DagKeys)
    empty = {problem.path for problem in found if problem.code == "wrong-type"}
    found = [p for p in found if p.code != "missing-key" or (*p.path, p.key) not in empty]
    errors: list[DbtFlowError] = [
        InputError(p.code, p.message, place=merged.place(p.path, key=p.at_key), hint=p.hint) for p in found
    ]
    return (None if errors else dag), errors


def defaults_errors(document: Document) -> list[DbtFlowError]:
    """What is wrong with a ``_defaults.yaml`` in itself."""
    data = dict(document.data or {})
    found: list[Problem] = []
    for key in ("name", "version"):
        if key in data:
            hint = f"delete it: a DAG's {key} is its file's"
            found.append(Problem("unknown-key", f"{key} cannot stand among defaults", hint, (key,)))
    try:
        found += not_yet(DagKeys.model_validate({"owner": "x", **data, "name": None, "version": 1}))
    except ValidationError as error:
        found += problems(error.errors(), data, DagKeys)
    return [InputError(p.code, p.message, place=document.place(p.path, key=p.at_key), hint=p.hint) for p in found]


def name_error(name: str, place: Place) -> InputError | None:
    """What is wrong with a file's name as a DAG's name."""
    if not NAME.match(name) or len(name) > MAX_NAME:
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:MAX_NAME]
        better = "_defaults" if name == "_defaults" else better
        hint = f"rename the file to {better}.yaml" if better else "rename the file: a-z, 0-9 and _, a letter first"
        message = f"{show(name)} cannot be a DAG's name: a-z, 0-9 and _, a letter first, at most {MAX_NAME}"
        return InputError("bad-name", message, place=place, hint=hint)
    flow = flow_name(name)
    if keyword.iskeyword(name) or keyword.iskeyword(flow):
        return InputError("bad-name", f"{name} is a word of Python's", place=place, hint=f"rename the file to {name}_dag.yaml")
    if flow in RESERVED:
        message = f"{name} would be the flow {flow}, and Metaflow has that name already"
        return InputError("bad-name", message, place=place, hint=f"rename the file to {name}_dag.yaml")
    return None


def not_yet(keys: DagKeys) -> list[Problem]:
    """The keys that are set and have no effect yet."""
    found = []
    for dotted, sentence in NOT_YET.items():
        value: Any = keys
        default: Any = None
        for part in dotted.split("."):
            if value is None:
                break
            default = type(value).model_fields[part].get_default(call_default_factory=True)
            value = getattr(value, part)
        if value is None or value == default or (dotted == "overlap" and value == keys.default_overlap):
            continue
        found.append(Problem("not-yet", f"{dotted}: {sentence}", "delete it for now", tuple(dotted.split(".")), at_key=True))
    return found


def _checked(name: str, file: str, written: dict[str, Any], places: dict[str, Place]) -> Dag:
    dag = Dag.model_validate({**written, "name": name})
    dag = dag.model_copy(update={"trigger": dag.trigger.in_zone(dag.timezone)})
    dag._file, dag._places, dag._written = file, places, written
    return dag


def _name_problems(name: str, said: Any) -> list[Problem]:
    if said is None or said == name:
        return []
    hint = f"delete the line, or rename the file to {PurePath(str(said)).name}.yaml"
    return [Problem("bad-name", f"name is {show(said)}, and the file is named {name}", hint, ("name",))]


def _nothings(written: dict[str, Any]) -> list[Problem]:
    """Keys with nothing after the colon: a slip, and never meant as "all" or "none"."""
    hint = "write a value after the colon, or delete the key"
    return [
        Problem("wrong-type", f"{key} has no value", hint, (key,))
        for key, value in written.items()
        if value is None and key in DagKeys.model_fields
    ]
