"""Small plans and results for the tests of telling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dbt_flow.plan.planned import Plan, Step
from dbt_flow.records import FAILED, SUCCESS, Node, NodeResult, RunResult
from dbt_flow.report.rules import Rules

OWNERS = {
    "carriers": {"pagerduty": "PD_CARRIERS", "webhook": "HOOK_CARRIERS"},
    "safety": {"pagerduty": "PD_SAFETY", "datadog": "@pagerduty-safety"},
    "platform": {"email": "platform@freight.example"},
}

NODES = (
    Node("model.f.stg", "model", "stg", "f", "models/stg.sql", owner="carriers", owner_by="meta"),
    Node("test.f.stg_id", "test", "not_null_stg_id", "f", "models/s.yml", tests="model.f.stg", column="id", severity="error"),
    Node("test.f.stg_warn", "test", "stg_warn", "f", "models/s.yml", tests="model.f.stg", severity="warn", owner="safety"),
    Node("model.f.fct", "model", "fct", "f", "models/fct.sql", parents=("model.f.stg",)),
    Node("model.f.mart", "model", "mart", "f", "models/mart.sql", parents=("model.f.fct",)),
    Node("model.f.alone", "model", "alone", "f", "models/alone.sql", owner="safety", owner_by="group"),
)
PLAN = Plan(
    dag="risk",
    project="freight",
    target="prod",
    adapter="duckdb",
    nodes=NODES,
    edges=(("model.f.stg", "test.f.stg_id"), ("model.f.stg", "model.f.fct"), ("model.f.fct", "model.f.mart")),
    gates=(("test.f.stg_id", "model.f.fct"),),
    steps=(Step("all", tuple(node.id for node in NODES)),),
)
GOOD = {"model": "success", "test": "pass"}


def rules(**said: Any) -> Rules:
    known = {"project": "freight", "dag": "risk", "owner": "platform", "page": "error", "owners": OWNERS}
    known["alerts"] = {"pagerduty": "PD_DEFAULT", "webhooks": ["HOOK_DEFAULT"]}
    return Rules(**{**known, **said})


def run(number: int = 1, hour: int = 6, **changes: Any) -> RunResult:
    """A run in which every node is good, but for those that ``changes`` names: ``stg_id=("fail", {"failures": 5})``."""
    nodes = []
    for node in NODES:
        said = changes.get(node.id.rpartition(".")[2])
        status, more = said if isinstance(said, tuple) else (said or GOOD[node.type], {})
        nodes.append(NodeResult(node.id, status, started="2026-11-21T05:59:00.000Z", seconds=1.5, **more))
    bad = [node for node in nodes if not node.good]
    return RunResult(
        dag="risk",
        flow="Risk",
        run=f"Risk/{number}",
        status=FAILED if bad else SUCCESS,
        reason="it failed" if bad else "",
        target="prod",
        started=f"2026-11-21T{hour - 1:02d}:59:00.000Z",
        finished=f"2026-11-21T{hour:02d}:00:00.000Z",
        seconds=60.0,
        owner="platform",
        nodes=tuple(nodes),
    )


def failing(number: int = 1, hour: int = 6) -> RunResult:
    """A test finds five rows, and what stands on its model is skipped."""
    skipped = ("skipped", {"blocked_by": ("test.f.stg_id",)})
    return run(number, hour, stg_id=("fail", {"failures": 5, "message": "Got 5 results"}), fct=skipped, mart=skipped)


def refused(number: int = 1) -> RunResult:
    """A run that dbt refused before anything was planned."""
    blank = replace(run(number), nodes=(), status=FAILED, reason="dbt cannot parse the project")
    return replace(blank, error={"code": "dbt-parse", "message": "bad", "hint": None})
