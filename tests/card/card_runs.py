"""A small factory of plans and results, one for each way in which a run can end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache

from card_plan import MODELS, START, model_id, plan, test_of, tests_of, timed

from dbt_flow.plan.planned import Plan
from dbt_flow.records import LOST, RUNNING, NodeResult, RunResult, utc_text
from dbt_flow.report.extra import CardExtra, LastGood, Waiting

COMMANDS = {
    "retry": "dbt-flow retry CarrierRisk/123",
    "reproduce": "dbt-flow reproduce CarrierRisk/123 {node}",
    "card": "dbt-flow card CarrierRisk/123",
}
LINKS = {"metaflow": "https://metaflow.freight.example/CarrierRisk/123"}
VERSIONS = {"dbt-flow": "0.1.0", "dbt": "1.11.2", "duckdb": "1.4.1", "metaflow": "2.19.39", "python": "3.12.1"}


def result(made: Plan | None, status: str = "success", changes: Mapping[str, NodeResult] | None = None, **more) -> RunResult:
    nodes, seconds = timed(made, changes or {}) if made else ((), 0.0)
    given = {
        "dag": "carrier_risk",
        "flow": "CarrierRisk",
        "run": "CarrierRisk/123",
        "status": status,
        "reason": "",
        "target": "prod",
        "started": utc_text(START),
        "finished": utc_text(START + timedelta(seconds=seconds)),
        "seconds": round(seconds, 2),
        "owner": "risk-analytics",
        "trigger": "after carrier_reference and carrier_safety",
        "nodes": nodes,
        "versions": VERSIONS,
    }
    return RunResult(**{**given, **more})


def history(usual: float = 20.0, failed: tuple[str, ...] = ()) -> tuple[dict[str, object], ...]:
    statuses = ["success"] * 9 + ["failed", "success", "failed"]
    return tuple(
        {
            "run": f"CarrierRisk/{111 + at}",
            "status": status,
            "seconds": usual * (0.9 + at * 3 % 5 * 0.06) * (0.5 if status == "failed" else 1),
            "started": utc_text(START - timedelta(days=12 - at)),
            "failed": list(failed) if status == "failed" else [],
        }
        for at, status in enumerate(statuses)
    )


def around() -> dict[str, object]:
    """What the pipeline finds beside a run: the last good run, freshness, row counts, who waits, the deadline."""
    made = plan()
    rows = {node.id: 1000 + at * 7919 for at, node in enumerate(made.nodes) if not node.is_test}
    sources = {node.id: 4000 + at * 311 for at, node in enumerate(n for n in made.surroundings if n.type == "source")}
    carriers = "source.freight.registry.carriers"
    checksums = {node.id: node.checksum for node in made.nodes} | {BROKEN_MODEL: "other code"}
    fresh = {
        node: {"status": "pass", "max_loaded_at": utc_text(START - timedelta(hours=2)), "max_loaded_at_time_ago_in_s": 7200.0}
        for node in sources
    }
    fresh[carriers] = {
        "status": "error",
        "max_loaded_at": utc_text(START - timedelta(days=2)),
        "max_loaded_at_time_ago_in_s": 172800.0,
    }
    return {
        "usual": {node.id: 0.2 if node.is_test else 2.0 for node in made.nodes},
        "rows": {node: (count - 40, count - 12, count - 7) for node, count in rows.items()},
        "source_rows": sources,
        "freshness": fresh,
        "last_good": LastGood("CarrierRisk/121", utc_text(START - timedelta(days=2)), checksums, {**sources, carriers: 9000}),
        "waiting": (
            Waiting("DAG", "carrier_pricing", "pricing", starts=True, reads=(model_id("risk_report"),)),
            Waiting("flow", "TrainCarrierRisk", "ml-platform", starts=True),
        ),
        "deadline": {"words": "07:00 America/Chicago", "state": "held", "said": "38 min 12 s to spare"},
    }


def extra(**more) -> CardExtra:
    given = {
        **around(),
        "history": history(),
        "commands": COMMANDS,
        "owner_contact": {"slack": "#risk-analytics", "email": "risk@freight.example"},
        "description": "Safety, fraud and payment risk of every carrier, each morning before pricing reads it.",
    }
    return CardExtra(**{**given, **more})


SQL = """-- every carrier with what we know of its payments
with payments as (
    select carrier_id, avg(paid_at - due_at) as delay_days
    from "freight"."main"."stg_payments"
    where status in ('paid', 'late') and amount > 100
    group by carrier_id
)
select c.carrier_id, p.delay_days, c.carier_name
from "freight"."main"."stg_carriers" as c
left join payments as p on p.carrier_id = c.carrier_id"""

ERROR_MESSAGE = """Runtime Error in model int_payment_delays (models/intermediate/int_payment_delays.sql)
  Binder Error: Table "c" does not have a column named "carier_name"

  Candidate bindings: : "carrier_name", "carrier_id"

  LINE 8: select c.carrier_id, p.delay_days, c.carier_name
                                             ^
  compiled code at target/run/freight/models/intermediate/int_payment_delays.sql"""

BROKEN_TEST = test_of("unique_stg_carriers_carrier_id")
SECOND_TEST = test_of("not_null_lane_prices_price_id")
BROKEN_MODEL = model_id("int_payment_delays")


def failing_changes() -> dict[str, NodeResult]:
    def skipped(node: str, *because: str) -> NodeResult:
        return NodeResult(id=node, status="skipped", blocked_by=because)

    changes = {
        BROKEN_TEST: NodeResult(
            id=BROKEN_TEST,
            status="fail",
            failures=8,
            sample={
                "columns": ["unique_field", "n_records", "contact_email"],
                "rows": [["C-1093", "2", "•••"], ["C-0007", "3", "•••"], [None, "2", "•••"]],
                "masked": ["contact_email"],
            },
            message="Got 8 results, configured to fail if != 0",
            compiled='select carrier_id, count(*) as n\nfrom "freight"."main"."stg_carriers"\n'
            "where carrier_id is not null\ngroup by carrier_id\nhaving count(*) > 1",
        ),
        BROKEN_MODEL: NodeResult(id=BROKEN_MODEL, status="error", message=ERROR_MESSAGE, compiled=SQL),
        SECOND_TEST: NodeResult(
            id=SECOND_TEST,
            status="fail",
            failures=1,
            message="Got 1 result, configured to fail if != 0",
            compiled="select *\nfrom lane_prices\nwhere price_id is null",
        ),
        test_of("not_null_stg_loads_load_id"): NodeResult(
            id=test_of("not_null_stg_loads_load_id"),
            status="warn",
            failures=12,
            message="Got 12 results, configured to warn if != 0",
        ),
    }
    for name in (
        "int_carrier_history",
        "carriers_snapshot",
        "carrier_safety",
        "carrier_features",
        "fraud_scores",
        "risk_report",
    ):
        because = [BROKEN_TEST] if name != "carrier_features" else [BROKEN_TEST, BROKEN_MODEL]
        because = [*because, SECOND_TEST] if name == "risk_report" else because
        for node in (model_id(name), *(test.id for test in tests_of(name))):
            changes[node] = skipped(node, *because)
    for test in tests_of("int_payment_delays"):
        changes[test.id] = skipped(test.id, BROKEN_MODEL)
    return changes


def good():
    made = plan()
    return made, result(made), extra()


def failing():
    made = plan()
    late = {"words": "07:00 America/Chicago", "state": "late", "said": "missed: it is not good"}
    ended = result(made, "failed", failing_changes(), follows="CarrierRisk/122")
    return made, ended, extra(history=history(failed=(BROKEN_TEST,)), deadline=late, links=LINKS)


def killed():
    made = plan()
    changes = {}
    for name in [*MODELS][9:]:
        for node in (model_id(name), *(test.id for test in tests_of(name))):
            changes[node] = NodeResult(id=node, status=LOST)
    dying = model_id("carrier_features")
    changes[dying] = NodeResult(id=dying, status=LOST, started=utc_text(START))
    reason = "The task was killed while it built carrier_features; nothing was heard of it again"
    return made, result(made, "failed", changes, reason=reason), extra()


def refused():
    error = {
        "file": "models/marts/carrier_features.sql",
        "line": 14,
        "column": 9,
        "code": "dbt-parse",
        "message": "Compilation Error in model carrier_features (models/marts/carrier_features.sql)\n"
        "  Model 'model.freight.carrier_features' depends on a node named 'stg_carriers_v2' which was not found",
        "hint": "did you mean ref('stg_carriers')? Then: dbt-flow run carrier_risk",
    }
    ended = result(None, "failed", error=error, reason="dbt cannot parse the project", seconds=2.4)
    return None, ended, extra(commands={"retry": "dbt-flow run carrier_risk"})


def cancelled():
    made = plan()
    changes = {
        node: NodeResult(id=node, status="cancelled")
        for name in [*MODELS][8:]
        for node in (model_id(name), *(test.id for test in tests_of(name)))
    }
    dying = model_id("int_payment_delays")
    changes[dying] = NodeResult(id=dying, status="cancelled", started=utc_text(START))
    error = {
        "code": "timeout",
        "message": "The run took longer than its timeout of 20 s",
        "hint": "raise timeout: in the DAG's file",
    }
    return made, result(made, "cancelled", changes, error=error, reason="Stopped after its timeout of 20 s"), extra()


def live():
    made = plan()
    done, _ = timed(made, {})
    nodes = tuple(node for node in done[:24])
    running = tuple((node.id, node.started or "") for node in made_running(made, done))
    ended = result(made, RUNNING, nodes=nodes, finished=None, seconds=0.0)
    due = {"words": "07:00 America/Chicago", "state": "open", "said": "54 min 40 s left"}
    return made, ended, extra(deadline=due, live=True, updated=utc_text(START + timedelta(seconds=20)), running=running)


def made_running(made: Plan, done: Sequence[NodeResult]) -> list[NodeResult]:
    ids = {model_id("int_payment_delays"), model_id("carrier_safety")}
    return [node for node in done if node.id in ids]


def parsing():
    ended = result(None, RUNNING, finished=None)
    return None, ended, extra(live=True, updated=utc_text(START + timedelta(seconds=2)), phase="parsing the dbt project")


@cache
def big(models: int = 5000, fail: bool = True):
    """A project of many models in 12 layers, with one model that fails near its middle."""
    wide = models // 12
    shape: dict[str, list[str]] = {}
    for at in range(models):
        layer, place = divmod(at, wide)
        parents = {f"m_{(layer - 1) * wide + (place * 3 + k) % wide:05d}" for k in range(1 + at % 3)} if layer else set()
        shape[f"m_{at:05d}"] = sorted(parents) if layer else [f".raw.table_{place % 40}"]
    made = plan(shape)
    if not fail:
        return made, result(made), extra(last_good=None)
    broken = model_id(f"m_{models // 2:05d}")
    blocked, changes = {broken}, {broken: NodeResult(id=broken, status="error", message=ERROR_MESSAGE, compiled=SQL)}
    for node in made.nodes:
        if node.id != broken and (set(node.parents) & blocked):
            blocked.add(node.id)
            changes[node.id] = NodeResult(id=node.id, status="skipped", blocked_by=(broken,))
    return made, result(made, "failed", changes), extra(last_good=None)


def empty():
    """A good run in which a model that always had rows has none."""
    made = plan()
    ended = result(made)
    nodes = tuple(replace(node, rows=0) if node.id == model_id("lane_prices") else node for node in ended.nodes)
    return made, replace(ended, nodes=nodes), extra()


ALL = {
    "good": good,
    "empty": empty,
    "failing": failing,
    "killed": killed,
    "cancelled": cancelled,
    "refused": refused,
    "live": live,
    "parsing": parsing,
    "big": big,
}
