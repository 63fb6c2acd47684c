"""``census()``: every member of a dbt project's graph, whatever selects it: what a look over a whole fleet of DAGs needs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dbt_flow.errors import ProjectError
from dbt_flow.project.facts_of import owner_of
from dbt_flow.project.parsing import Parsed
from dbt_flow.project.seams import contents
from dbt_flow.records import TEST_TYPES, Member

UNDATED = frozenset({"duckdb", "postgres"})
"""Adapters that cannot say by themselves when a table was loaded."""


@dataclass(frozen=True)
class Group:
    """A dbt group with an owner."""

    name: str
    owners: tuple[str, ...]
    """The owner's name and addresses: each may be a team's."""
    path: str
    """The file that defines it, relative to the dbt project."""
    package: str


@dataclass(frozen=True)
class Census:
    """All of a parsed project."""

    package: str
    """The project's own; every other package is installed."""
    members: Mapping[str, Member]
    groups: tuple[Group, ...]


def census(parsed: Parsed) -> Census:
    """Everything enabled in the project and its packages."""
    groups = {group.name: group for group in parsed.manifest.groups.values()}
    position: Mapping[str, int] = {}
    with suppress(ProjectError):  # models in a circle: whoever asks for a selection is told
        position = parsed.position
    members = (_member(node, groups, position, parsed) for node in contents.everything(parsed.manifest) if _enabled(node))
    return Census(parsed.name, {member.id: member for member in members}, tuple(map(_group, groups.values())))


def _member(node: Any, groups: Mapping[str, Any], position: Mapping[str, int], parsed: Parsed) -> Member:
    kind, meta = contents.resource_type(node), contents.meta(node)
    owner, owner_by = owner_of(node, groups)
    inlined = bool(getattr(node, "is_ephemeral_model", False))
    parents = contents.parents(node)
    said = meta.get("lint")
    ignored = said.get("ignore") if isinstance(said, Mapping) else None
    files = [path for path in contents.property_files(node) if path != str(node.original_file_path)]
    return Member(
        id=str(node.unique_id),
        type=kind,
        name=str(node.search_name),
        package=str(node.package_name),
        path=str(node.original_file_path),
        patch=files[0] if files else None,
        parents=parents,
        relation=None if kind == "test" or inlined else getattr(node, "relation_name", None),
        tests=contents.tested(node, position) if kind in TEST_TYPES else None,
        inlined=inlined,
        group=getattr(node, "group", None),
        owner=owner,
        owner_by=owner_by,
        claims=_names(meta.get("dag")),
        ignored={str(code): reason for code, reason in ignored.items()} if isinstance(ignored, Mapping) else {},
        freshness=kind == "source" and bool(node.has_freshness),
        dated=kind == "source" and _dated(node, parsed),
    )


def _enabled(node: Any) -> bool:
    return bool(getattr(getattr(node, "config", None), "enabled", True))


def _dated(source: Any, parsed: Parsed) -> bool:
    said = source.loaded_at_field or getattr(source, "loaded_at_query", None)  # the query since dbt 1.10
    return bool(said) or parsed.target.adapter not in UNDATED


def _names(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(str(name) for name in names)


def _group(group: Any) -> Group:
    found = (getattr(group.owner, "name", None), getattr(group.owner, "email", None))
    owners = [name for value in found for name in _names(value) if name]
    return Group(str(group.name), tuple(owners), str(group.original_file_path), str(group.package_name))
