"""The attributes of dbt's manifest that are read, each in one place. Their names are those of ``manifest.json``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COLLECTIONS = ("nodes", "unit_tests", "sources", "exposures", "saved_queries", "functions", "metrics", "semantic_models")
"""Where a manifest keeps what its graph is made of; ``functions`` since dbt 1.11."""


def everything(manifest: Any) -> Iterator[Any]:
    """Every member of dbt's graph."""
    for collection in COLLECTIONS:
        yield from getattr(manifest, collection, {}).values()


def resource_type(node: Any) -> str:
    """``model``, ``unit_test``, ...: dbt's ``NodeType`` is an enum of strings."""
    return str(getattr(node.resource_type, "value", node.resource_type))


def parents(node: Any) -> tuple[str, ...]:
    """The ids it depends on, each once, in dbt's order."""
    return tuple(dict.fromkeys(node.depends_on_nodes))


def meta(node: Any) -> dict[str, Any]:
    """``config.meta``, where dbt has merged all that the project says; exposures of old have it beside the config."""
    config = getattr(node, "config", None)
    return dict(getattr(config, "meta", None) or getattr(node, "meta", None) or {})
