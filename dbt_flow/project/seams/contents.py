"""The attributes of dbt's manifest that are read, each in one place. Their names are those of ``manifest.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dbt.contracts.graph.manifest import Manifest
from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder

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


def tested(node: Any, position: Mapping[str, int]) -> str | None:
    """The node that a test belongs to: the one that dbt attached it to, else the last of its parents in topological order."""
    attached = getattr(node, "attached_node", None)
    return str(attached) if attached else max(parents(node), key=lambda key: position.get(key, -1), default=None)


def meta(node: Any) -> dict[str, Any]:
    """``config.meta``, where dbt has merged all that the project says; exposures of old have it beside the config."""
    config = getattr(node, "config", None)
    return dict(getattr(config, "meta", None) or getattr(node, "meta", None) or {})


def macros(holder: Any) -> list[str]:
    """The ids of the macros that a node or macro calls, as far as dbt saw."""
    return list(getattr(getattr(holder, "depends_on", None), "macros", ()) or ())


def property_files(node: Any) -> list[str]:
    """The YAML files, relative to the project, that say something of a node: its patch, or the file that defines it."""
    patch = str(getattr(node, "patch_path", None) or "").partition("://")[2]
    own = str(node.original_file_path)
    hooks = resource_type(node) == "operation"  # their file is dbt_project.yml
    return [path for path in (patch, own) if path.endswith((".yml", ".yaml")) and not hooks]


def file_of(manifest: Any, holder: Any) -> Path | None:
    """The file of a node or macro of a package."""
    file = manifest.files.get(holder.file_id)
    return Path(file.path.absolute_path) if file is not None else None


_NOT_PACKED = ("files", "flat_graph", "env_vars", "source_patches")
"""What only parsing needs, and what building makes anew; ``env_vars`` holds values in clear."""


def packed(manifest: Any) -> bytes:
    """A manifest as dbt keeps one between two parses, with what building needs: another process pays no parse."""
    fields = [field.name for field in dataclasses.fields(Manifest) if not field.name.startswith("_")]
    kept = Manifest(**{name: getattr(manifest, name) for name in fields if name not in _NOT_PACKED})
    return bytes(kept.to_msgpack(extended_mashumaro_encoder))


def unpacked(data: bytes) -> Any:
    """The inverse of :func:`packed`.

    :raises Exception: whatever dbt says of data that another version wrote.
    """
    return Manifest.from_msgpack(data, decoder=extended_mashumuro_decoder)
