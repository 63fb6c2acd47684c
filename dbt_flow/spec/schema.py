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
        **_tidy(schema),
    }


def schema_text() -> str:
    """As it stands in the file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(schema: Any) -> Any:
    """Without what is pydantic's and no help: titles made from names, defaults that say nothing, and null (no key holds it)."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema if item != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    tidy: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):  # names that users write, not words of the schema language
            tidy[key] = {name: _tidy(inner) for name, inner in value.items()}
        elif key == "default" and (not value or isinstance(value, (dict, list))):
            continue
        elif key != "title":
            tidy[key] = value if key == "examples" else _tidy(value)
    if len(tidy.get("anyOf", ())) == 1:
        tidy = {**tidy.pop("anyOf")[0], **tidy}
    return tidy
