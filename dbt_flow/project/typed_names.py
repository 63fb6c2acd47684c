"""What of a parsed project a person may type in a selection."""

from __future__ import annotations

from collections.abc import Mapping

from dbt_flow.project.parsing import Parsed
from dbt_flow.project.seams.contents import resource_type
from dbt_flow.records import BUILT


def names_of(parsed: Parsed) -> Mapping[str, tuple[str, ...]]:
    """Names by kind: nodes (tests and what packages bring left out), tags, groups, selectors, sources."""
    manifest = parsed.manifest
    own = [node for node in manifest.nodes.values() if node.package_name == parsed.name]
    built = [node for node in own if resource_type(node) in BUILT]
    return {
        "nodes": tuple(str(node.name) for node in built),
        "tags": tuple(str(tag) for node in own for tag in node.tags),
        "groups": tuple(str(group.name) for group in manifest.groups.values()),
        "selectors": tuple(str(name) for name in parsed.config.selectors or ()),
        "sources": tuple(f"{one.source_name}.{one.name}" for one in manifest.sources.values()),
    }
