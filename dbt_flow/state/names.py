"""The names that a person may type: nodes, tags, groups and selectors of each dbt project, as dbt last read it.

Kept on this machine for completion, which may load no dbt and may take no time. Damage, or nothing there, is no name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dbt_flow.errors import DbtFlowError
from dbt_flow.state.store import Store, encode

KINDS = ("nodes", "tags", "groups", "selectors", "sources")


def keep_names(store: Store, project: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Note a project's names, where they are others than before. That they cannot be kept is nobody's loss."""
    key, value = _key(project), encode({kind: sorted(set(names.get(kind, ()))) for kind in KINDS})
    with suppress(DbtFlowError, OSError):
        if store.local.get(key) != value:
            store.local.put(key, value)


def known_names(state: Path, project: Path) -> dict[str, list[str]]:
    """A project's names by kind; empty while dbt has not read it here."""
    found: dict[str, list[str]] = {}
    with suppress(OSError, ValueError, AttributeError):
        document = json.loads((state / _key(project)).read_bytes())
        found = {kind: [str(name) for name in document.get(kind) or ()] for kind in KINDS}
    return found


def _key(project: Path) -> str:
    return f"names/{hashlib.sha256(str(project.absolute()).encode()).hexdigest()[:12]}.json"
