"""The run card's document: everything that the card shows, worked out here as plain JSON; the template only lays it out.

:func:`card_document` makes the document from a plan and a result, :func:`render` makes the page from the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from dbt_flow.errors import CODES
from dbt_flow.plan.planned import Plan
from dbt_flow.records import RUNNING, NodeResult, RunResult
from dbt_flow.report.causes import Cause, complete_results, root_causes
from dbt_flow.report.drawing import MOST_NODES, MOST_NODES_FAILED, drawing
from dbt_flow.report.extra import CardExtra
from dbt_flow.report.failures import Failures
from dbt_flow.report.headline import headline
from dbt_flow.report.shorter import shorter
from dbt_flow.report.tables import name, query_page, tables, warnings
from dbt_flow.report.timeline import critical_path, spans, timeline
from dbt_flow.report.words import clean, moment, one_line, swept, usual_seconds

CARD_VERSION = 2
"""The version of the document; a card that is older than its document says so instead of guessing."""

MOST_CAUSES = 40
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
    failures = Failures(plan, by_id, result, extra)
    document: dict[str, Any] = {
        "version": CARD_VERSION,
        "live": extra.live,
        "updated": extra.updated,
        "head": headline(plan, result, causes, extra),
        "run": _run(result, extra),
        "error": _error(result),
        "causes": [failures.cause(cause, at) for at, cause in enumerate(causes[:MOST_CAUSES])],
        "more_causes": max(len(causes) - MOST_CAUSES, 0),
        "running": [[name(plan, node), started, extra.usual.get(node)] for node, started in extra.running[:50]],
        "warnings": warnings(plan, results, extra),
        "history": _history(result, extra),
        "commands": {key: one_line(text, 1000) for key, text in extra.commands.items() if text},
        "versions": {one_line(key, 40): one_line(text, 60) for key, text in result.versions.items()},
        "graph": None,
        "timeline": None,
        "query_page": query_page(results),
        **tables(plan, by_id, extra),
    }
    if plan:
        document["graph"] = drawing(plan, by_id, _focus(plan, causes, results), MOST_NODES_FAILED if causes else MOST_NODES)
        document["timeline"] = timeline(plan, results)
        if document["timeline"]:
            told = document["timeline"]
            told["shorter"] = [] if extra.live else shorter(plan, spans(results), told["seconds"], len(told["lanes"]))
    cleaned: dict[str, Any] = swept(document)
    return cleaned


def render(document: Mapping[str, Any]) -> str:
    """The page, as one self-contained HTML text. Metaflow is not imported: the renderer lies beside its card, not in it."""
    page = _renderer().render_card(document)
    return str(page)


@cache
def _renderer() -> ModuleType:
    """The module that lays the document out, loaded from its file: importing its package would import Metaflow."""
    file = card_folder() / "render.py"
    spec = spec_from_file_location("dbt_flow_card_renderer", file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{file} cannot be loaded")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def card_folder() -> Path:
    """Where the card's template, style and scripts lie: other drawings look and move like the card's."""
    folders = find_spec(_CARDS)
    for folder in (folders and folders.submodule_search_locations) or ():
        if (Path(folder) / "dbt_run" / "render.py").is_file():
            return Path(folder) / "dbt_run"
    raise ModuleNotFoundError(f"the card's files ({_CARDS}.dbt_run) are not installed beside dbt_flow")


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
        "deadline": _deadline(extra),
        "links": {key: one_line(link, 500) for key, link in extra.links.items() if link.startswith(("https://", "http://"))},
        "parameters": {one_line(key, 80): one_line(text, 200) for key, text in result.parameters.items()},
    }


def _deadline(extra: CardExtra) -> dict[str, str] | None:
    said = extra.deadline
    return {key: one_line(said.get(key) or "", 300) for key in ("words", "state", "said")} if said else None


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
