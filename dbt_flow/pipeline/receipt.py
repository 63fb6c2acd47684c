"""The receipt of a run: which code on which data made which tables, with a digest of it all. Loads without dbt.

It is made from the run's own record when the run is settled, or by the first reader when that process died in between: the same
record gives the same receipt. It is written once (``receipt.json``) and checked whenever it is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dbt_flow import redact
from dbt_flow.errors import DbtFlowError, StateError
from dbt_flow.plan.needs import troubles
from dbt_flow.plan.planned import Plan
from dbt_flow.records import BUILT, RECORD_VERSION, REUSED, NodeResult, RunResult, flow_name
from dbt_flow.state.runs import RunRecord, find_run, find_runs
from dbt_flow.state.store import Store

NAME = "receipt.json"
MISSING_VARIABLE = "DBT_FLOW_MISSING"
"""What a run starts without, a JSON list: set by who starts a DAG with ``otherwise: run``."""
LOOK_BACK = 30
"""Runs of a DAG that are looked at for one table."""
_ORIGIN = re.compile(r"\b(?:in|since) (\w+/[\w-]+)$")
_DEEP = 4

Receipt = Mapping[str, Any]


def keep_receipt(record: RunRecord) -> None:
    """Make the receipt of a settled run. A disk that is full costs nothing: the first reader makes it."""
    with suppress(DbtFlowError, OSError):
        receipt_of(record)


def receipt_of(record: RunRecord, deep: int = _DEEP) -> Receipt | None:
    """The receipt of a run, checked; None while the run goes on.

    :param deep: how many receipts may be made on the way that were never written: those of older versions' runs are not.
    :raises StateError: ``receipt-damaged``: it is not what was written.
    """
    document = record.get(NAME)
    if document is None:
        result = record.result()
        if result is None or deep == 0:
            return None
        record.put_if_absent(NAME, _make(record, result, deep - 1))
        document = record.get(NAME)
    if not isinstance(document, dict) or document.get("digest") != digest_of(document):
        raise StateError(
            "receipt-damaged",
            f"the receipt of {flow_name(record.ref.dag)}/{record.ref.number} is not what was written",
            hint="nothing that stands on it can be trusted: build the tables again with dbt-flow run",
        )
    return document


def digest_of(document: Mapping[str, Any]) -> str:
    """A digest of all that a receipt says."""
    said = {key: value for key, value in document.items() if key != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def receipt_of_run(store: Store, run: str) -> Receipt | None:
    """The receipt of ``CarrierRisk/12``; None when there is no such run here, or it goes on."""
    flow, _, number = run.partition("/")
    for ref in find_runs(store):
        if ref.number == number and flow in (ref.dag, flow_name(ref.dag)):
            return receipt_of(RunRecord(store, ref))
    return None


def revision_of(folder: Path) -> str | None:
    """The git commit of a folder's work tree, read from its files: no process, and nothing where there is no git."""
    for place in (folder, *folder.parents):
        git = place / ".git"
        with suppress(OSError, ValueError, IndexError):
            if git.is_file():  # a worktree or a submodule
                git = (place / git.read_text().split(":", 1)[1].strip()).resolve()
            if git.is_dir():
                return _commit(git)
    return None


def _commit(git: Path) -> str | None:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head
    name, shared = head.split(":", 1)[1].strip(), git
    with suppress(OSError):
        shared = (git / (git / "commondir").read_text().strip()).resolve()
    for folder in (git, shared):
        with suppress(OSError):
            return (folder / name).read_text().strip()
    with suppress(OSError):
        lines = [line.split() for line in (shared / "packed-refs").read_text().splitlines()]
        return next((line[0] for line in lines if len(line) == 2 and line[1] == name), None)
    return None


# ---- making


def _make(record: RunRecord, result: RunResult, deep: int) -> dict[str, Any]:
    plan = _plan(record)
    attempts = record.attempts()
    header = attempts[0].header if attempts else {}
    kept = record.get("artifacts.json") or {}
    document = {
        "version": RECORD_VERSION,
        "run": result.run,
        "dag": result.dag,
        "owner": result.owner,
        "target": result.target,
        "adapter": plan.adapter if plan else None,
        "status": result.status,
        "started": result.started,
        "finished": result.finished,
        "trigger": result.trigger,
        "follows": result.follows,
        "parameters": dict(result.parameters),
        "versions": dict(result.versions),
        "git": header.get("git"),
        "task": header.get("task"),
        "manifest": kept.get("manifest"),
        "plan": plan.digest if plan else None,
        "missing": list(header.get("missing") or ()),
        "nodes": _nodes(record, plan, result, deep) if plan else [],
        "inlined": [{"id": node.id, "name": node.name, "parents": list(node.parents)} for node in plan.inlined] if plan else [],
        "exposures": _exposures(plan) if plan else [],
        "sources": _sources(record, plan) if plan else [],
        "inputs": _inputs(record, plan, result, deep) if plan else [],
    }
    plain: dict[str, Any] = json.loads(json.dumps(redact.document(document), default=str))
    return {**plain, "digest": digest_of(plain)}


def _plan(record: RunRecord) -> Plan | None:
    with suppress(DbtFlowError, TypeError, KeyError, ValueError):
        document = record.get("plan.json")
        return None if document is None else Plan.from_dict(document)
    return None


def _nodes(record: RunRecord, plan: Plan, result: RunResult, deep: int) -> list[dict[str, Any]]:
    results = {node.id: node for node in result.nodes}
    found = []
    for node in plan.nodes:
        became = results.get(node.id) or NodeResult(node.id, "lost")
        facts = {
            "id": node.id,
            "name": node.name,
            "type": node.type,
            "relation": node.relation,
            "parents": list(node.parents),
            "tests": node.tests,
            "checksum": node.checksum,
            "status": became.status,
            "was": became.status,
            "softened": became.status == "warn" and "tests.on_fail: warn" in became.reason,
            "built_in": result.run,
            "built": became.finished or result.finished,
            "checked": became.finished or result.finished,
            "rows": became.rows,
            "failures": became.failures,
        }
        found.append(_as_it_was(record, facts, became, deep) if became.status == REUSED else facts)
    return found


def _as_it_was(record: RunRecord, facts: dict[str, Any], became: NodeResult, deep: int) -> dict[str, Any]:
    """What is reused is as good, and as old, as it was in the run that made it; ``unchanged`` makes it new once more."""
    origin = _ORIGIN.search(became.reason)
    ref = find_run(record.store, record.ref.dag, origin[1].partition("/")[2]) if origin else None
    before = receipt_of(RunRecord(record.store, ref), deep) if ref and ref != record.ref else None
    if before is None and origin:
        before = receipt_of_run(record.store, origin[1])
    made = next((item for item in (before or {}).get("nodes", ()) if item["id"] == facts["id"]), None)
    if made is None:
        word = became.reason.partition(" ")[0]
        known = word if word in ("success", "pass", "warn", "no-op") else "unknown"
        return {**facts, "was": known, "built_in": origin[1] if origin else facts["built_in"]}
    kept = {key: made[key] for key in ("was", "softened", "built_in", "built", "checked", "failures")}
    kept["rows"] = facts["rows"] if facts["rows"] is not None else made["rows"]
    if became.reason.startswith("unchanged"):
        kept["checked"] = facts["checked"]
    return {**facts, **kept}


def _exposures(plan: Plan) -> list[dict[str, Any]]:
    found = [node for node in plan.surroundings if node.type == "exposure"]
    return [{"id": node.id, "name": node.name, "parents": list(node.parents), "owner": node.owner} for node in found]


def _sources(record: RunRecord, plan: Plan) -> list[dict[str, Any]]:
    kept = record.get("sources.json") or {}
    fresh = {item.get("unique_id"): item for item in kept.get("results", ()) if isinstance(item, dict)}
    return [
        {
            "id": node.id,
            "name": node.name,
            "relation": node.relation,
            "status": fresh.get(node.id, {}).get("status"),
            "max_loaded_at": fresh.get(node.id, {}).get("max_loaded_at"),
        }
        for node in plan.surroundings
        if node.type == "source"
    ]


def _inputs(record: RunRecord, plan: Plan, result: RunResult, deep: int) -> list[dict[str, Any]]:
    """What the run read of other runs: for each table the newest receipt that was there when it began."""
    wanted = {node.id: node for node in plan.surroundings if node.type in BUILT}
    found = []
    there = newest(record.store, result.target, wanted, before=result.started, deep=deep)
    for key, (said, item) in there.items():
        facts = {"id": key, "name": wanted[key].name, "relation": wanted[key].relation, "run": said["run"]}
        more = {"digest": said["digest"], "built_in": item["built_in"], "built": item["built"]}
        found.append({**facts, **more, "troubles": [list(one) for one in troubles(said, key)]})
    return found


def newest(
    store: Store,
    target: str,
    wanted: Mapping[str, Any],
    *,
    before: str | None = None,
    deep: int = _DEEP,
) -> dict[str, tuple[Receipt, Mapping[str, Any]]]:
    """For each id the receipt of the newest settled run on a target that planned it, with what it says of it.

    :param before: only runs that ended before that time
    """
    found: dict[str, tuple[Receipt, Mapping[str, Any]]] = {}
    for dag in store.list(f"runs/{target}") if wanted else ():
        here: dict[str, tuple[Receipt, Mapping[str, Any]]] = {}
        for index, ref in enumerate(find_runs(store, dag, target)):
            if index >= LOOK_BACK:
                break
            record = RunRecord(store, ref)
            if before is not None:
                result = record.result()
                if result is None or str(result.finished) > before:
                    continue
            said = receipt_of(record, deep)
            if said is None:
                continue
            for item in said["nodes"]:
                if item["id"] in wanted and (item["id"] not in here or str(said["finished"]) > here[item["id"]][0]["finished"]):
                    here[item["id"]] = (said, item)
            # Each run plans all of its DAG: only refused ones are passed over. Of the builds of `@dbt` in a step that fans out
            # many belong together, and the one that ended last counts.
            if said["plan"] and ref.number.isdigit():
                break
        for key, one in here.items():
            if key not in found or str(one[0]["finished"]) > str(found[key][0]["finished"]):
                found[key] = one
    return found
