"""``facts()``: what the manifest says of a selection, as records that need no dbt to be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from dbt_flow.project.code_of import CodeReader
from dbt_flow.project.parsing import Parsed
from dbt_flow.project.seams import contents
from dbt_flow.records import BUILT, TEST_TYPES, Facts, Node


def facts(parsed: Parsed, selected: Iterable[str]) -> Facts:
    """The facts of ``selected``, which :func:`.selecting.select` gave for the same ``parsed``."""
    reader = _reader(parsed)
    chosen = sorted(selected)
    inlined = {key for key in chosen if reader.inlined(key)}
    planned = [key for key in chosen if key not in inlined]
    around = reader.around(chosen)
    return Facts(
        nodes=tuple(reader.node(key) for key in planned),
        inlined=tuple(reader.node(key) for key in sorted(inlined)),
        surroundings=tuple(reader.node(key) for key in around),
        parents=reader.parents,
    )


@lru_cache(maxsize=2)
def _reader(parsed: Parsed) -> _Reader:
    """One reading of a manifest serves all its selections."""
    return _Reader(parsed)


class _Reader:
    """The manifest, read with one dictionary of everything in it."""

    def __init__(self, parsed: Parsed) -> None:
        self.all = {node.unique_id: node for node in contents.everything(parsed.manifest)}
        self.parents = {key: contents.parents(node) for key, node in self.all.items()}
        self.position = parsed.position
        self.exposures = {key for key, node in self.all.items() if contents.resource_type(node) == "exposure"}
        self.groups = {group.name: group for group in parsed.manifest.groups.values()}
        self.code = CodeReader(parsed.manifest, parsed.target.adapter)

    def inlined(self, key: str) -> bool:
        return bool(getattr(self.all[key], "is_ephemeral_model", False))

    def around(self, chosen: list[str]) -> list[str]:
        """Unselected parents, also through unselected ephemerals, and unselected exposures that stand on the selection."""
        inside = set(chosen)
        found: set[str] = set()
        kinds = ("source", "model", "seed", "snapshot", "function")  # a metric is no relation
        waiting = [parent for key in chosen for parent in self.parents[key]]
        while waiting:
            key = waiting.pop()
            if key in inside or key in found or contents.resource_type(self.all[key]) not in kinds:
                continue
            found.add(key)
            if self.inlined(key):
                waiting += self.parents[key]
        found.update(key for key in self.exposures - inside if inside.intersection(self.parents[key]))
        return sorted(found)

    def node(self, key: str) -> Node:
        node = self.all[key]
        kind = contents.resource_type(node)
        config = getattr(node, "config", None)
        is_test = kind == "test"
        owner, owner_by = owner_of(node, self.groups)
        return Node(
            id=key,
            type=kind,
            name=str(node.search_name),
            package=str(node.package_name),
            path=str(node.original_file_path),
            parents=self.parents[key],
            materialized=getattr(config, "materialized", None) if kind in BUILT else None,
            relation=None if is_test or self.inlined(key) else getattr(node, "relation_name", None),
            description=str(getattr(node, "description", "") or ""),
            tags=tuple(_words(getattr(node, "tags", ()))),
            group=getattr(node, "group", None),
            owner=owner,
            owner_by=owner_by,
            severity=str(config.severity).lower() if is_test and config is not None else None,
            tests=contents.tested(node, self.position) if kind in TEST_TYPES else None,
            column=getattr(node, "column_name", None) if is_test else None,
            warn_if=str(config.warn_if) if is_test and config is not None else None,
            error_if=str(config.error_if) if is_test and config is not None else None,
            checksum=None if kind in ("source", "exposure") else self.code.digest(node),
            inlined=self.inlined(key),
        )


def owner_of(node: Any, groups: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """``meta.owner``, else the owner of its group; an exposure's own. With the rule that gave it.

    :param groups: dbt's groups by name
    """
    named = contents.meta(node).get("owner")
    if named:
        return str(named), "meta"
    group = groups.get(str(getattr(node, "group", None)))
    holder = group.owner if group is not None else getattr(node, "owner", None)
    found = getattr(holder, "name", None) or getattr(holder, "email", None)
    owner = ", ".join(_words(found)) or None
    return owner, ("group" if group is not None else "exposure") if owner else None


def _words(value: Any) -> list[str]:
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(item) for item in value]
