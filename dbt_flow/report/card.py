"""The run card's document: everything that the card shows, worked out here as plain JSON; the template only lays it out.

:func:`card_document` makes the document from a plan and a result, :func:`render` makes the page from the document.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from dbt_flow.errors import CODES
from dbt_flow.plan.model import Plan
from dbt_flow.records import GOOD, RUNNING, SKIPPED, Node, NodeResult, RunResult
from dbt_flow.report.causes import Cause, complete_results, root_causes
from dbt_flow.report.drawing import MOST_NODES, MOST_NODES_FAILED, drawing
from dbt_flow.report.extra import CardExtra
from dbt_flow.report.headline import headline
from dbt_flow.report.timeline import critical_path, spans, timeline
from dbt_flow.report.words import clean, moment, name_of, one_line, plain_message, says_nothing, swept, usual_seconds

CARD_VERSION = 1
"""The version of the document; a card that is older than its document says so instead of guessing."""

MOST_CAUSES, MOST_SQL, MOST_BLOCKED, MOST_WARNINGS, SQL_LIMIT = 40, 12, 60, 60, 12_000
"""What one card shows in full; the rest is counted, and stands in the tables."""

_CARDS = "metaflow_extensions.dbt_flow.plugins.cards"


def card_document(plan: Plan | None, result: RunResult, extra: CardExtra | None = None) -> dict[str, Any]:
    """The document of a run's card.

    :param plan: None when the run was refused before it could be planned, or has no plan yet.
    """
    extra = extra or CardExtra()
    results = complete_results(plan, result)
    by_id = {node.id: node for node in results}
    for node_id, started in extra.running:
        by_id.setdefault(node_id, NodeResult(id=node_id, status=RUNNING, started=started))
    causes = root_causes(plan, result)
    document: dict[str, Any] = {
        "version": CARD_VERSION,
        "live": extra.live,
        "updated": extra.updated,
        "head": headline(plan, result, causes, extra),
        "run": _run(result, extra),
        "error": _error(result),
        "causes": [_cause(cause, at, plan, result, extra) for at, cause in enumerate(causes[:MOST_CAUSES])],
        "more_causes": max(len(causes) - MOST_CAUSES, 0),
        "running": [[_name(plan, node), started] for node, started in extra.running[:50]],
        "warnings": _warnings(plan, results),
        "history": _history(result, extra),
        "commands": {key: one_line(text, 1000) for key, text in extra.commands.items() if text},
        "versions": {one_line(key, 40): one_line(text, 60) for key, text in result.versions.items()},
        "graph": None,
        "timeline": None,
        **_tables(plan, by_id),
    }
    if plan:
        document["graph"] = drawing(plan, by_id, _focus(plan, causes, results), MOST_NODES_FAILED if causes else MOST_NODES)
        document["timeline"] = timeline(plan, results)
    cleaned: dict[str, Any] = swept(document)
    return cleaned


def render(document: Mapping[str, Any]) -> str:
    """The page, as one self-contained HTML text. Metaflow is not imported: the renderer lies beside its card, not in it."""
    page = _renderer().render_card(document)
    return str(page)


@cache
def _renderer() -> ModuleType:
    """The module that lays the document out, loaded from its file: importing its package would import Metaflow."""
    folders = find_spec(_CARDS)
    for folder in (folders and folders.submodule_search_locations) or ():
        file = Path(folder) / "dbt_run" / "render.py"
        spec = spec_from_file_location("dbt_flow_card_renderer", file) if file.is_file() else None
        if spec and spec.loader:
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ModuleNotFoundError(f"the card's files ({_CARDS}.dbt_run) are not installed beside dbt_flow")


def _name(plan: Plan | None, node_id: str) -> str:
    node = plan.by_id.get(node_id) if plan else None
    return one_line(node.name if node else name_of(node_id), 200)


def _run(result: RunResult, extra: CardExtra) -> dict[str, Any]:
    contact = extra.owner_contact or {}
    return {
        "dag": one_line(result.dag, 120),
        "flow": one_line(result.flow, 120),
        "run": one_line(result.run, 160),
        "description": one_line(extra.description, 600),
        "owner": one_line(result.owner, 120),
        "contact": {one_line(key, 20): one_line(text, 200) for key, text in contact.items() if text},
        "trigger": one_line(result.trigger, 300),
        "target": one_line(result.target, 80),
        "started": result.started if moment(result.started) else "",
        "seconds": result.seconds,
        "usual": usual_seconds(extra.history),
        "attempt": result.attempt,
        "follows": one_line(result.follows or "", 160),
        "parameters": {one_line(key, 80): one_line(text, 200) for key, text in result.parameters.items()},
    }


def _error(result: RunResult) -> dict[str, Any] | None:
    error = result.error
    if not error:
        return None
    code = str(error.get("code") or "")
    place = ":".join(str(error[key]) for key in ("file", "line", "column") if error.get(key))
    return {
        "code": one_line(code, 60),
        "meaning": CODES.get(code, ""),
        "message": clean(error.get("message") or ""),
        "hint": clean(error.get("hint") or "", 1000),
        "place": one_line(place or error.get("place") or "", 300),
    }


def _cause(cause: Cause, at: int, plan: Plan | None, run: RunResult, extra: CardExtra) -> dict[str, Any]:
    result, node = cause.result, cause.node
    tested = plan.by_id.get(node.tests) if plan and node and node.tests else None
    shown_sql = result.compiled if result.compiled and at < MOST_SQL else ""
    return {
        "kind": cause.kind,
        "status": result.status,
        "headline": one_line(cause.headline, 400),
        "name": one_line(cause.name, 200),
        "type": node.type.replace("_", " ") if node else "",
        "path": one_line(node.path, 300) if node else "",
        "tested": one_line(tested.name, 200) if tested else "",
        "owner": one_line(cause.owner, 120),
        "failures": result.failures,
        "message": "" if says_nothing(result.message) else plain_message(result.message),
        "reason": one_line(result.reason, 600),
        "sql": clean(shown_sql, SQL_LIMIT),
        "others": [_name(plan, other.id) for other in cause.results[1 : MOST_BLOCKED + 1]],
        "more_others": max(len(cause.results) - 1 - MOST_BLOCKED, 0),
        "blocks": [_name(plan, blocked) for blocked in cause.blocks[:MOST_BLOCKED]],
        "blocked": len(cause.blocks),
        "stands_on": _stands_on(plan, node),
        "since": _since(result.id, extra.history),
        "reproduce": _reproduce(cause, plan, run, extra),
    }


def _stands_on(plan: Plan | None, node: Node | None) -> list[str]:
    """What the failing node reads: of a test, what the tested model reads."""
    if plan is None or node is None:
        return []
    subject = plan.by_id.get(node.tests, node) if node.tests else node
    return [_name(plan, parent) for parent in subject.parents[:12] if parent in plan.by_id]


def _since(node_id: str, history: Iterable[Mapping[str, Any]]) -> str:
    """When the unbroken row of runs began in which ``node_id`` was not good; empty when this is the first."""
    since = ""
    for run in reversed([*history]):
        if node_id not in (run.get("failed") or ()):
            break
        since = str(run.get("started") or "")
    return since if moment(since) else ""


def _reproduce(cause: Cause, plan: Plan | None, run: RunResult, extra: CardExtra) -> str:
    """The command that shows the failure again; dbt's own where the caller gave none."""
    if cause.kind != "failed":
        return ""
    name = shlex.quote(one_line(cause.name, 300))
    given = extra.commands.get("reproduce")
    if given:
        return one_line(given.replace("{node}", name), 1000)
    values = {**(plan.vars or {} if plan else {}), **run.parameters}
    told = f" --vars {shlex.quote(json.dumps(values, default=str))}" if values else ""
    return one_line(f"dbt build --select {name} --target {shlex.quote(run.target)}{told}", 1000)


def _warnings(plan: Plan | None, results: Iterable[NodeResult]) -> dict[str, Any]:
    warned = [node for node in results if node.status == "warn"]
    shown = []
    for node in warned[:MOST_WARNINGS]:
        known = plan.by_id.get(node.id) if plan else None
        tested = _name(plan, known.tests) if known and known.tests else ""
        said = "" if says_nothing(node.message) else one_line(plain_message(node.message), 200)
        shown.append({"name": _name(plan, node.id), "failures": node.failures, "tested": tested, "message": said})
    return {"shown": shown, "total": len(warned)}


def _history(result: RunResult, extra: CardExtra) -> list[list[Any]]:
    """The last runs and this one as [run, status, seconds, started], oldest first."""
    rows = [
        [
            one_line(run.get("run", ""), 120),
            str(run.get("status", "")),
            float(run.get("seconds") or 0),
            run.get("started") or "",
        ]
        for run in extra.history[-19:]
    ]
    return [*rows, [one_line(result.run, 120), result.status, result.seconds, result.started]]


def _focus(plan: Plan, causes: Iterable[Cause], results: Iterable[NodeResult]) -> list[str]:
    """What a partial drawing shows first: failures, what they are about, what they block; of a good run the critical path."""
    found: dict[str, None] = {}
    for cause in causes:
        for result in cause.results[:20]:
            node = plan.by_id.get(result.id)
            found[node.tests if node and node.is_test and node.tests else result.id] = None
        found.update(dict.fromkeys(cause.blocks[:10]))
    return [*found] or [*critical_path(plan, spans(results))]


def _tables(plan: Plan | None, by_id: Mapping[str, NodeResult]) -> dict[str, Any]:
    """The rows of both tables, worst first.

    A model is [name, type, materialization, status, seconds, rows, tests, reason], a test
    [name, status, failing rows, severity, tested, seconds, reason].
    """
    if plan is None:
        return {"models": [], "tests": []}
    tested: dict[str, Counter[str]] = defaultdict(Counter)
    # When thousands went wrong, a reason for each makes a page of megabytes that nobody reads.
    room = 200 if sum(not result.good for result in by_id.values()) <= 500 else 60
    models: list[list[Any]] = []
    tests: list[list[Any]] = []
    for node in plan.nodes:
        result = by_id.get(node.id) or NodeResult(id=node.id, status="waiting")
        seconds = round(result.seconds, 3) if result.finished or result.seconds else None
        reason = _reason(plan, result, room)
        if node.is_test:
            tested[node.tests or ""][result.status] += 1
            about = _name(plan, node.tests) if node.tests else ""
            severity = node.severity or ""
            tests.append([one_line(node.name, 200), result.status, result.failures, severity, about, seconds, reason])
        else:
            row = [
                one_line(node.name, 200),
                node.type,
                node.materialized or "",
                result.status,
                seconds,
                result.rows,
                node.id,
                reason,
            ]
            models.append(row)
    for model in models:
        model[6] = ", ".join(f"{number} {status}" for status, number in sorted(tested[model[6]].items(), key=_bad_first))
    models.sort(key=lambda row: _weight(row[3]))
    tests.sort(key=lambda row: _weight(row[1]))
    return {"models": models, "tests": tests}


def _reason(plan: Plan, result: NodeResult, room: int) -> str:
    if result.reason:
        return one_line(result.reason, room)
    if result.status == SKIPPED and result.blocked_by:
        return "because of " + ", ".join(_name(plan, node) for node in result.blocked_by[:3])
    if result.status not in GOOD and result.message and not says_nothing(result.message):
        return one_line(plain_message(result.message), room)
    return ""


def _bad_first(item: tuple[str, int]) -> tuple[int, str]:
    return (_weight(item[0]), item[0])


def _weight(status: str) -> int:
    """Worst first: not good, running, skipped, warned, good, waiting."""
    order = {RUNNING: 1, SKIPPED: 2, "warn": 3, "waiting": 5}
    return order.get(status, 4 if status in GOOD else 0)
