"""``dbt-flow plan DAG --json``; and who waits for a DAG's end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbt_flow.cli.plan_shown import needs_of
from dbt_flow.errors import DbtFlowError
from dbt_flow.plan.awaited import finish_name
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag

if TYPE_CHECKING:
    from dbt_flow.pipeline.forecast import Forecast
    from dbt_flow.pipeline.foreseen import Foreseen


def waiting_for(settings: Settings, dag: Dag) -> tuple[list[dict[str, Any]], list[DbtFlowError]]:
    """The DAGs and ML flows that the end of a DAG starts, or helps to start; and ML flows that could not be read."""
    from dbt_flow.serve.flow_reading import Reader  # reads ML flows, each in a process of its own
    from dbt_flow.serve.listeners import user_branch

    listening = Reader(settings).read()
    mine = finish_name(settings.project, user_branch(settings), dag.flow_name)
    heard = {one.name: one for one in listening.by_event.get(mine, ())}
    found = [
        {
            "name": one.name,
            "kind": one.kind,
            "owner": one.owner,
            "file": one.file,
            "starts": one.text,
            "others": [wait.label for wait in one.waits if wait.event != mine],
        }
        for one in heard.values()
    ]
    return found, [problem for problem in listening.problems if problem.code == "flow-import"]


def document(dag: Dag, found: Forecast, seen: Foreseen, waiting: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One JSON document of all that the text says, and of every node and step."""
    plan, told = found.plan, seen.told
    nodes = {node.id: node for node in plan.nodes}
    kinds: dict[str, Counter[str]] = {}
    for item in found.decisions:
        kinds.setdefault(item.decision, Counter())[nodes[item.id].type] += 1
    return {
        "dag": dag.name,
        "target": plan.target,
        "file": dag.file,
        "description": dag.description,
        "counts": {decision: dict(types) for decision, types in kinds.items()},
        "nodes": [
            {"id": item.id, "type": nodes[item.id].type, "decision": item.decision, "reason": item.reason}
            for item in found.decisions
        ],
        "flow": None
        if found.isolation is None
        else [
            {
                "name": step.name,
                "kind": step.kind,
                "builds": list(found.isolation.nodes.get(step.name, ())),
                "next": list(step.next),
                "resources": needs_of(found.isolation, step.name),
            }
            for step in found.isolation.steps
        ],
        "steps": [{"name": step.name, "nodes": list(step.nodes), "needs": list(step.needs)} for step in plan.steps],
        "missing": [{"id": node, "built_by": found.builders.get(node)} for node in found.missing],
        "estimate": {
            "seconds": None if seen.seconds is None else round(seen.seconds, 3),
            "threads": found.threads,
            "known_nodes": seen.known,
            "last_good_runs": list(seen.runs),
            "usual_seconds": seen.usual,
        },
        "critical_path": [{"id": key, "seconds": seconds} for key, seconds in seen.path],
        "starts": {
            "kind": dag.trigger.kind,
            "text": dag.trigger.text,
            "timezone": dag.timezone,
            "next": [start.at.isoformat() for start in seen.starts],
            "warnings": list(seen.warnings),
        },
        "waiting": list(waiting),
        "done_by": dict(seen.deadline) if seen.deadline else None,
        "told": {
            "owner": told.owner,
            "contact": dict(told.contact),
            "page": told.page,
            "notify": told.notify,
            "page_has_a_way": told.pages,
            "message_has_a_way": told.notices,
            "others": dict(told.others),
        },
        "notes": list(found.notes),
    }
