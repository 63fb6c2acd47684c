"""Receipts as runs leave them, written without any run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dbt_flow.pipeline.receipt import digest_of

AT = "2026-11-21T06:00:00.000Z"


def receipt(
    folder: Path,
    dag: str,
    tables: dict[str, list[str]],
    read: dict[str, dict[str, Any]],
    *,
    number: str = "1",
    at: str = AT,
    adapter: str = "duckdb",
) -> dict[str, Any]:
    """A run that built ``tables`` (each with its parents), and read others' from their receipts."""
    run = f"{dag.capitalize()}/{number}"
    more = {"softened": False, "built_in": run, "built": at, "checked": at, "checksum": "c", "failures": None, "tests": None}
    nodes = [
        {"id": f"model.s.{name}", "name": name, "type": "model", "relation": f"main.{name}", "rows": 3, **more}
        | {"parents": parents, "status": "success", "was": "success"}
        for name, parents in tables.items()
    ]
    first = f"model.s.{next(iter(tables))}"
    test = {"id": f"test.s.t_{dag}", "name": f"t_{dag}", "type": "test", "relation": None, "rows": None, **more}
    nodes.append({**test, "tests": first, "parents": [first], "status": "pass", "was": "pass"})
    inputs = [
        {"id": f"model.s.{name}", "name": name, "relation": f"main.{name}", "run": said["run"], "digest": said["digest"]}
        | {"built_in": said["run"], "built": AT, "troubles": []}
        for name, said in read.items()
    ]
    source = {"id": f"source.s.raw.{dag}", "name": dag, "relation": f"raw.{dag}", "status": None, "max_loaded_at": None}
    facts = {"version": 1, "run": run, "dag": dag, "owner": "team", "target": "dev", "adapter": adapter, "status": "success"}
    facts |= {"started": at, "finished": at, "follows": None, "plan": "p", "manifest": "m", "git": "0123456789abcdef"}
    facts |= {"missing": [], "inlined": [], "exposures": [], "nodes": nodes, "inputs": inputs, "sources": [source]}
    kept = {**facts, "digest": digest_of(facts)}
    place = folder / ".dbt_flow/runs/dev" / dag / number
    place.mkdir(parents=True)
    (place / "receipt.json").write_text(json.dumps(kept))
    return kept
