"""What differs between two states of a DAG file, or of ``dbt_flow.yml``, key by key, with the place of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt_flow.errors import Place
from dbt_flow.settings import SETTINGS_FILE
from dbt_flow.spec.dag_file import Dag
from dbt_flow.yamlfile import read

GROUPS: Mapping[str, str] = {
    "trigger": "starts",
    "timezone": "starts",
    "overlap": "starts",
    "done_by": "deadlines",
    "timeout": "deadlines",
    "alerts": "alerts",
    "owner": "owners",
    "select": "selection",
    "exclude": "selection",
    "selector": "selection",
    "tests": "selection",
    "project": "selection",
    "owners": "owners",
}
"""What a key is about, for those who look for one thing; every other key is among ``others``."""

NOTHING = "none"
"""What a key that is not there is said to be."""


@dataclass(frozen=True)
class KeyChange:
    """One key that has another value."""

    key: str
    """Dotted: ``trigger.schedule``, ``alerts.page``."""
    before: str
    now: str
    """Values as they would stand in YAML, on a line."""
    place: Place
    """In the file of today; in the old one where the key is gone."""
    old: bool = False
    """Whether the place is in the old file."""

    @property
    def about(self) -> str:
        """``starts``, ``deadlines``, ``alerts``, ``owners``, ``selection`` or ``others``."""
        return GROUPS.get(self.key.partition(".")[0], "others")


def key_changes(before: Dag, now: Dag) -> tuple[KeyChange, ...]:
    """The keys with another meaning, in the order of the reference: how a value is written does not matter."""
    was, is_now = _flat(before), _flat(now)
    found = []
    for key in dict.fromkeys([*is_now, *was]):
        if was.get(key, NOTHING) == is_now.get(key, NOTHING):
            continue
        gone = key not in now.origins and key in before.origins
        place = (before if gone else now).place(key)
        found.append(KeyChange(key, was.get(key, NOTHING), is_now.get(key, NOTHING), place, gone))
    return tuple(found)


def same_meaning(before: Dag, now: Dag) -> bool:
    """Whether two files say the same, whatever their names."""
    return _flat(before) == _flat(now)


def settings_changes(before: Path, now: Path) -> tuple[KeyChange, ...]:
    """The keys of two states of ``dbt_flow.yml`` that differ; a file that is not there, or not readable, says nothing."""
    was, is_now = (read(file, name=SETTINGS_FILE, empty_ok=True) for file in (before, now))
    old, new = (flattened(document.data or {}) for document in (was, is_now))
    found = []
    for key in dict.fromkeys([*new, *old]):
        if old.get(key, NOTHING) != new.get(key, NOTHING):
            gone = key not in new
            place = (was if gone else is_now).place(tuple(key.split(".")))
            found.append(KeyChange(key, old.get(key, NOTHING), new.get(key, NOTHING), place, gone))
    return tuple(found)


def flattened(data: Mapping[str, Any]) -> dict[str, str]:
    """Nested keys, dotted, with their values in words."""
    return dict(_leaves("", data))


def _flat(dag: Dag) -> dict[str, str]:
    plain = dag.model_dump(mode="json", exclude={"name"})
    found = flattened(plain)
    if dag.overlap is None:
        found["overlap"] = dag.default_overlap
    return found


def _leaves(above: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(f"{above}.{key}" if above else str(key), item)
    elif above:
        yield above, _words(value)


def _words(value: Any) -> str:
    if value is None or value in ("", [], {}, ()):
        return NOTHING
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " and ".join(value) if len(value) == 1 else f"[{', '.join(value)}]"
    return json.dumps(value, ensure_ascii=False, default=str)
