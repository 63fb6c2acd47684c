"""Which relations are there on the target: one look by dbt's own adapter, in this process."""

from __future__ import annotations

from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from dbt.adapters.factory import get_adapter, register_adapter, reset_adapters
from dbt.context.providers import generate_runtime_macro_context

from dbt_flow.project.parsing import Parsed
from dbt_flow.project.place import working_in
from dbt_flow.project.refusals import refusal
from dbt_flow.project.seams import invocation


def missing_relations(parsed: Parsed, ids: Iterable[str]) -> frozenset[str]:
    """Those of ``ids`` (models, seeds, snapshots) whose relation does not exist on the target.

    A DuckDB file that is not there yet is not made: then all are missing.

    :raises ProjectError: the warehouse cannot be reached.
    """
    nodes = {node: parsed.manifest.nodes[node] for node in ids if node in parsed.manifest.nodes}
    if not nodes:
        return frozenset()
    path = parsed.target.path
    if path is not None and not Path(path).exists():
        return frozenset(nodes)
    try:
        with working_in(parsed.project.folder), invocation.flags_of(["build", *parsed.arguments()]):
            return _look(parsed, nodes)
    except Exception as error:
        raise refusal(error, parsed.project, code="warehouse") from error


def _look(parsed: Parsed, nodes: dict[str, Any]) -> frozenset[str]:
    register_adapter(parsed.config, get_context("spawn"))
    try:
        adapter = get_adapter(parsed.config)
        adapter.set_macro_resolver(parsed.manifest)
        adapter.set_macro_context_generator(generate_runtime_macro_context)
        found: dict[tuple[str, str], set[str]] = {}
        missing = set()
        with adapter.connection_named("dbt-flow-look"):
            for node, facts in nodes.items():
                relation = adapter.Relation.create_from(parsed.config, facts)
                schema = (str(relation.database).lower(), str(relation.schema).lower())
                if schema not in found:
                    listed = adapter.list_relations(relation.database, relation.schema)
                    found[schema] = {str(item.identifier).lower() for item in listed}
                if str(relation.identifier).lower() not in found[schema]:
                    missing.add(node)
        adapter.cleanup_connections()
        return frozenset(missing)
    finally:
        reset_adapters()
