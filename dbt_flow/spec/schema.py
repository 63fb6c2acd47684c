"""The JSON schema of a DAG file, for editors: completion, descriptions, and a first check while typing."""

from __future__ import annotations

import json
from typing import Any

from dbt_flow.spec.model import DagKeys

FILE = ".schema.json"
"""In the DAG folder. A DAG file points at it with ``# yaml-language-server: $schema=.schema.json``."""


def json_schema() -> dict[str, Any]:
    """Made from the same model that checks the files. No key is required: an owner may come from ``_defaults.yaml``."""
    schema = DagKeys.model_json_schema()
    schema.pop("required", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dbt-flow DAG",
        **{key: value for key, value in _without_titles(schema).items() if key != "title"},
    }


def schema_text() -> str:
    """As it stands in the file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _without_titles(schema: Any) -> Any:
    """Pydantic gives each property a title made from its name, which editors show above the description and is no help."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _without_titles(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
