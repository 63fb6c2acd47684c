"""``_defaults.yaml`` under a DAG file: one mapping out of several files, that still knows where each key stands."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbt_flow.errors import Place
from dbt_flow.settings import DEFAULTS_FILE
from dbt_flow.yamlfile import Document, KeyPath

DEEP = frozenset({"vars", "params", "resources", "tests", "alerts", "lint"})
"""Mappings that are merged key by key; any other value replaces the one from farther up."""

DEPTH = 4
"""Keys have a place of their own down to here: ``trigger.after.any.0``, ``params.as_of.default``."""


@dataclass
class Merged:
    """The keys of a DAG, nearest file first wins."""

    document: Document
    """The DAG's own file."""
    data: dict[str, Any] = field(default_factory=dict)
    sources: dict[KeyPath, Document] = field(default_factory=dict)

    def place(self, path: KeyPath = (), *, key: bool = False) -> Place:
        """Where the value (or its key) stands, in whichever file it came from."""
        for length in range(len(path), 0, -1):
            document = self.sources.get(path[:length])
            if document:
                return document.place(path, key=key)
        return self.document.place()

    def places(self) -> dict[str, Place]:
        """The place of each key, by its dotted path."""
        return {".".join(map(str, path)): self.place(path) for path in _paths(self.data, ())}


def merge(defaults: list[Document], document: Document) -> Merged:
    """``document`` over ``defaults``, which stand farthest first."""
    merged = Merged(document)
    for layer in (*defaults, document):
        if isinstance(layer.data, dict):
            # A name among defaults is an error of that file, told there.
            said = layer.data if layer is document else {key: value for key, value in layer.data.items() if key != "name"}
            _put(merged, merged.data, said, (), layer)
    return merged


def defaults_above(file: Path, top: Path) -> list[Path]:
    """The ``_defaults.yaml`` files that apply to ``file``, farthest first: from ``top`` down to its folder.

    A file outside ``top`` has only the one beside it.
    """
    folder = file.parent
    inside = top == folder or top in folder.parents
    folders = [folder, *folder.parents]
    chosen = folders[: folders.index(top) + 1] if inside else [folder]
    return [path for path in (parent / DEFAULTS_FILE for parent in reversed(chosen)) if path.exists() or path.is_symlink()]


def _put(merged: Merged, into: dict[str, Any], layer: dict[str, Any], path: KeyPath, document: Document) -> None:
    for key, value in layer.items():
        here = (*path, key)
        old = into.get(key)
        if here[0] in DEEP and isinstance(old, dict) and isinstance(value, dict):
            _put(merged, old, value, here, document)
            continue
        if isinstance(old, dict):  # what stood under it came from elsewhere, and is gone
            for stale in [known for known in merged.sources if known[: len(here)] == here]:
                del merged.sources[stale]
        merged.sources[here] = document
        into[key] = copy.deepcopy(value) if here[0] in DEEP else value


def _paths(data: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Of keys; and, under ``trigger`` alone, of the items of lists: later errors are about one name in ``after``."""
    items = enumerate(data) if isinstance(data, list) else data.items()
    for key, value in items:
        here = (*path, key)
        yield here
        if len(here) < DEPTH and (isinstance(value, dict) or (isinstance(value, list) and here[0] == "trigger")):
            yield from _paths(value, here)
