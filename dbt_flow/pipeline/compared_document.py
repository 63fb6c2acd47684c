"""A comparison as one JSON document: what ``plan --base --json`` prints, and what text and Markdown are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_flow.pipeline.comparing import Comparison
from dbt_flow.plan.differences import Because, Move, Rebuilt
from dbt_flow.redact import text as redacted
from dbt_flow.spec import Dag
from dbt_flow.spec.key_changes import KeyChange


def document_of(found: Comparison) -> dict[str, Any]:
    """Plain JSON, without secrets."""
    revision, names = found.revision, found.names
    return {
        "base": {"revision": revision.said, "commit": revision.commit, "told": revision.told},
        "only": list(found.only),
        "changes": not found.empty,
        "dags": {
            "added": [_dag(dag, found.builds) for dag in found.added],
            "removed": [_dag(dag, found.builds) for dag in found.removed],
            "renamed": [{"from": old, "to": new, "file": found.now[new].file} for old, new in sorted(found.renamed.items())],
        },
        "keys": [{"dag": dag, **_key(change)} for dag, change in found.keys],
        "settings": [_key(change) for change in found.settings],
        "nodes": [_move(move, names) for move in found.moves],
        "rebuild": [_rebuilt(one, names) for one in found.rebuilt],
        "in_no_dag": [{**_node(key, names), "because": [_because(why)]} for key, why in found.unbuilt.items()],
        "notes": list(found.notes),
        "problems": [problem.to_dict() for problem in found.problems],
    }


def _dag(dag: Dag, builds: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": dag.name,
        "file": dag.file,
        "owner": dag.owner,
        "starts": dag.trigger.text,
        "nodes": builds.get(dag.name, 0),
    }


def _key(change: KeyChange) -> dict[str, Any]:
    return {
        "key": change.key,
        "about": change.about,
        "before": redacted(change.before),
        "now": redacted(change.now),
        "file": change.place.file,
        "line": change.place.line,
        "in": "base" if change.old else "now",
    }


def _node(key: str, names: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    name, kind = names.get(key, (key, ""))
    return {"id": key, "name": name, "type": kind}


def _because(why: Because) -> dict[str, Any]:
    return why.to_dict()


def _move(move: Move, names: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        "id": move.id,
        "name": move.name,
        "type": move.type,
        "change": move.change,
        "leaves": list(move.leaves),
        "enters": list(move.enters),
        "stays": list(move.stays),
        "was": move.was,
        "because": [_because(why) for why in move.because],
        "tests": [_node(key, names) for key in move.tests],
    }


def _rebuilt(one: Rebuilt, names: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        "dag": one.dag,
        "of": one.of,
        "changed": [{**_node(key, names), "because": [_because(why)]} for key, why in sorted(one.changed.items())],
        "below": [_node(key, names) for key in one.below],
    }
