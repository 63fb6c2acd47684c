"""One root cause as the card shows it: what happened in plain words, its rows and SQL, since when and after which change.

And what it reaches and what it stands on, whose it is, and what to type.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from dbt_flow.plan.planned import Plan
from dbt_flow.records import Node, NodeResult, RunResult
from dbt_flow.report.blast import blast, hit_by
from dbt_flow.report.causes import FAILED_KIND, Cause, owner_rule
from dbt_flow.report.extra import CardExtra
from dbt_flow.report.plain import meaning, threshold
from dbt_flow.report.sql_part import failing_part
from dbt_flow.report.suspects import Upstream, change
from dbt_flow.report.tables import name
from dbt_flow.report.words import clean, moment, one_line, plain_message, says_nothing

MOST_SQL, MOST_BLOCKED, SQL_LIMIT, MOST_SAMPLED = 12, 60, 12_000, 20
"""What one card shows in full; the rest is counted, and stands in the tables."""


class Failures:
    """Lays out the causes of one run."""

    def __init__(self, plan: Plan | None, by_id: Mapping[str, NodeResult], run: RunResult, extra: CardExtra) -> None:
        self.plan, self.run, self.extra = plan, run, extra
        self.upstream = Upstream(plan, by_id, extra) if plan else None

    def cause(self, cause: Cause, at: int) -> dict[str, Any]:
        """The ``at``-th cause; the first ones are told in full."""
        result, node, plan = cause.result, cause.node, self.plan
        tested = plan.by_id.get(node.tests) if plan and node and node.tests else None
        message = "" if says_nothing(result.message) else plain_message(result.message)
        told = {
            "kind": cause.kind,
            "status": result.status,
            "headline": one_line(cause.headline, 400),
            "name": one_line(cause.name, 200),
            "type": node.type.replace("_", " ") if node else "",
            "path": one_line(node.path, 300) if node else "",
            "tested": one_line(tested.name, 200) if tested else "",
            "about": one_line((node.description if node else "") or (tested.description if tested else ""), 300),
            "owner": one_line(cause.owner, 120),
            "owner_rule": owner_rule(plan, node, self.run.owner),
            "failures": result.failures,
            "allowed": _allowed(node),
            "meaning": meaning(message) if message and cause.kind == FAILED_KIND else "",
            "message": message,
            "reason": one_line(result.reason, 600),
            "query": {key: one_line(text, 500) for key, text in (result.query or {}).items()},
            "sample": _sample(result) if at < MOST_SQL else None,
            "others": [name(plan, other.id) for other in cause.results[1 : MOST_BLOCKED + 1]],
            "more_others": max(len(cause.results) - 1 - MOST_BLOCKED, 0),
            "blocks": [name(plan, blocked) for blocked in cause.blocks[:MOST_BLOCKED]],
            "blocked": len(cause.blocks),
            "since": since(result.id, self.extra.history),
            "quarantine": _quarantine(self.extra.quarantined.get(result.id)),
            "reproduce": self._reproduce(cause),
            "drawn": name(plan, node.tests) if node and node.tests else name(plan, result.id),
        }
        return told | self._sql(result, node, message, at) | self._around(cause, at)

    def beginning(self, cause: Cause) -> str:
        """Since when it fails and after which change, in a line; empty for what did not fail by itself."""
        if cause.kind != FAILED_KIND:
            return ""
        began = moment(since(cause.result.id, self.extra.history))
        changed = change(cause.node, self.upstream, self.extra)["text"] if cause.node and self.upstream else ""
        first = f"failing since {began:%Y-%m-%d %H:%M} UTC" if began else "failing since this run"
        return f"{first}. {changed}" if changed else first

    def _sql(self, result: NodeResult, node: Node | None, message: str, at: int) -> dict[str, Any]:
        sql = clean(result.compiled.strip("\n"), SQL_LIMIT) if result.compiled and at < MOST_SQL else ""
        part = failing_part(sql, message, is_test=bool(node and node.is_test)) if sql else None
        return {"sql": sql, "part": part, "lines": sql.count("\n") + 1 if sql else 0}

    def _around(self, cause: Cause, at: int) -> dict[str, Any]:
        """Downstream, upstream and what changed."""
        found: dict[str, Any] = {"suspects": [], "more_suspects": 0, "change": {"kind": "", "text": ""}}
        start = cause.node
        if self.plan and self.upstream and start and cause.kind == FAILED_KIND and at < MOST_SQL:
            shown, more = self.upstream.suspects(start)
            found = {"suspects": shown, "more_suspects": more, "change": change(start, self.upstream, self.extra)}
        reached = [name(self.plan, node) for node in hit_by(cause, self.plan)][:400] if self.plan and at < MOST_SQL else []
        return found | blast(cause, self.plan, self.extra) | {"reached": sorted(reached)}

    def _reproduce(self, cause: Cause) -> str:
        """The command that shows the failure again; dbt's own where the caller gave none."""
        if cause.kind != FAILED_KIND:
            return ""
        called = shlex.quote(one_line(cause.name, 300))
        given = self.extra.commands.get("reproduce")
        if given:
            return one_line(given.replace("{node}", called), 1000)
        return one_line(reproducing(self.plan, self.run).replace("{node}", called), 1000)


def reproducing(plan: Plan | None, run: RunResult, folder: str = "", profiles: str = "") -> str:
    """dbt's own command for one node, ``{node}``, as it is typed at the root.

    :param folder: the dbt project's, from the root; dbt must run there
    :param profiles: the folder of profiles.yml, from the project's, when it is another
    """
    values = {**(plan.vars or {} if plan else {}), **run.parameters}
    told = f" --vars {shlex.quote(json.dumps(values, default=str))}" if values else ""
    where = f"cd {shlex.quote(folder)} && " if folder not in ("", ".") else ""
    whom = f" --profiles-dir {shlex.quote(profiles)}" if profiles else ""
    return f"{where}dbt build --select {{node}} --target {shlex.quote(run.target)}{whom}{told}"


def since(node_id: str, history: Iterable[Mapping[str, Any]]) -> str:
    """When the unbroken row of runs began in which ``node_id`` was not good; empty when this is the first."""
    found = ""
    for run in reversed([*history]):
        if node_id not in (run.get("failed") or ()):
            break
        found = str(run.get("started") or "")
    return found if moment(found) else ""


def _allowed(node: Node | None) -> str:
    """When such a test fails and when it warns, in words."""
    if node is None or node.type != "test" or not (node.error_if or node.warn_if):
        return ""
    fails, warns = threshold(node.error_if), threshold(node.warn_if)
    if node.severity == "warn":
        return f"warns with {warns}"
    if fails == warns:
        return "none allowed" if fails == "any" else f"fails with {fails}"
    return f"fails with {fails}, warns with {warns}"


def _sample(result: NodeResult) -> dict[str, Any] | None:
    found = result.sample
    if not isinstance(found, Mapping) or not found.get("rows"):
        return None
    rows = [[None if value is None else one_line(value, 160) for value in row] for row in [*found["rows"]][:MOST_SAMPLED]]
    masked = [one_line(column, 80) for column in found.get("masked") or ()]
    return {"columns": [one_line(column, 80) for column in found["columns"]], "rows": rows, "masked": masked}


def _quarantine(terms: Mapping[str, str] | None) -> str:
    if not terms:
        return ""
    why = f": {one_line(terms['reason'], 200)}" if terms.get("reason") else ""
    return f"Known to be bad until {one_line(terms.get('until', ''), 20)}, says {one_line(terms.get('owner', ''), 80)}{why}"
