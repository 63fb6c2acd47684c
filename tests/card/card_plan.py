"""A small plan that looks like a real one, and results for it as threads would give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

from dbt_flow.plan.planned import Plan
from dbt_flow.records import LOST, Node, NodeResult, utc_text

START = datetime(2026, 11, 21, 6, 0, 0, tzinfo=timezone.utc)
PROJECT = "freight"

MODELS: Mapping[str, Sequence[str]] = {
    # model: what it reads; a source begins with a dot
    "stg_carriers": [".registry.carriers"],
    "stg_inspections": [".registry.inspections"],
    "stg_crashes": [".registry.crashes"],
    "stg_loads": [".tms.loads"],
    "stg_payments": [".tms.payments"],
    "lane_codes": [],
    "int_carrier_history": ["stg_carriers", "stg_inspections", "stg_crashes"],
    "int_loads_by_lane": ["stg_loads", "lane_codes"],
    "int_payment_delays": ["stg_payments", "stg_loads"],
    "carrier_safety": ["int_carrier_history"],
    "carrier_features": ["int_carrier_history", "int_payment_delays", "carrier_safety"],
    "lane_prices": ["int_loads_by_lane"],
    "fraud_scores": ["carrier_features", "int_loads_by_lane"],
    "carriers_snapshot": ["stg_carriers"],
    "risk_report": ["fraud_scores", "lane_prices"],
}


def model_id(name: str) -> str:
    kind = "seed" if name == "lane_codes" else "snapshot" if name.endswith("_snapshot") else "model"
    return f"{kind}.{PROJECT}.{name}"


def test_of(name: str) -> str:
    return f"test.{PROJECT}.{name}.0a1b2c"


def _model(name: str, parents: Sequence[str]) -> Node:
    kind = model_id(name).split(".", maxsplit=1)[0]
    layer = "staging" if name.startswith("stg_") else "intermediate" if name.startswith("int_") else "marts"
    return Node(
        id=model_id(name),
        type=kind,
        name=name,
        package=PROJECT,
        path=f"seeds/{name}.csv" if kind == "seed" else f"models/{layer}/{name}.sql",
        parents=tuple(f"source.{PROJECT}{p}" if p.startswith(".") else model_id(p) for p in parents),
        checksum=f"code of {name}",
        description=f"What {name} is." if name.startswith("int_") else "",
        materialized={"seed": "seed", "snapshot": "snapshot"}.get(kind, "view" if layer == "staging" else "table"),
        owner="pricing" if "lane" in name else None,
        owner_by="meta" if "lane" in name else None,
    )


def tests_of(name: str) -> list[Node]:
    column = "carrier_id" if "carrier" in name else f"{name.rsplit('_', maxsplit=1)[-1].rstrip('s')}_id"
    return [
        Node(
            id=test_of(f"{kind}_{name}_{column}"),
            type="test",
            name=f"{kind}_{name}_{column}",
            package=PROJECT,
            path=f"models/{name}.yml",
            parents=(model_id(name),),
            severity="warn" if name == "stg_loads" else "error",
            tests=model_id(name),
            column=column,
            error_if="!= 0",
            warn_if="> 10" if name == "stg_loads" else "!= 0",
            checksum=f"code of {kind}_{name}",
        )
        for kind in ("unique", "not_null")
    ]


def plan(models: Mapping[str, Sequence[str]] = MODELS) -> Plan:
    nodes: list[Node] = []
    gates: list[tuple[str, str]] = []
    sources = sorted({p for parents in models.values() for p in parents if p.startswith(".")})
    surroundings = [
        Node(
            id=f"source.{PROJECT}{s}",
            type="source",
            name=s.rpartition(".")[2],
            package=PROJECT,
            path="models/sources.yml",
            owner=f"{s.split('.')[1]}-team",
            description=f"One row for each of the {s.rpartition('.')[2]}, as it comes in.",
        )
        for s in sources
    ]
    for name, parents in models.items():
        node = _model(name, parents)
        nodes += [node, *tests_of(name)]
        for parent in parents:
            if not parent.startswith("."):
                gates += [(test.id, node.id) for test in tests_of(parent)]
    planned = {node.id for node in nodes}
    edges = tuple((parent, node.id) for node in nodes for parent in node.parents if parent in planned)
    last = [*models][-1]
    exposure = Node(
        id=f"exposure.{PROJECT}.underwriting",
        type="exposure",
        name="underwriting",
        package=PROJECT,
        path="models/exposures.yml",
        parents=(model_id(last),),
        owner="underwriters",
    )
    return Plan(
        dag="carrier_risk",
        project=PROJECT,
        target="prod",
        adapter="duckdb",
        nodes=tuple(nodes),
        edges=edges,
        gates=tuple(gates),
        steps=(),
        surroundings=(*surroundings, exposure),
    )


def timed(made: Plan, changes: Mapping[str, NodeResult], threads: int = 4) -> tuple[tuple[NodeResult, ...], float]:
    """Results as a run on some threads gives them: each node starts when a thread is free and its parents are done."""
    free = [0.0] * threads
    done: dict[str, float] = {}
    above: dict[str, list[str]] = {}
    for first, second in (*made.edges, *made.gates):
        above.setdefault(second, []).append(first)
    results = []
    for at, node in enumerate(made.nodes):
        change = changes.get(node.id)
        if change and change.status in ("skipped", LOST, "cancelled", "reused") and not change.started:
            results.append(change)
            continue
        thread = min(range(threads), key=free.__getitem__)
        start = max([free[thread], *(done.get(parent, 0.0) for parent in above.get(node.id, ()))])
        seconds = 0.18 + (at * 7 % 5) * 0.05 if node.is_test else 0.9 + (at * 13 % 11) * 0.6
        done[node.id] = free[thread] = start + seconds
        given = change.to_dict() if change else {}
        results.append(
            NodeResult(
                **{
                    "id": node.id,
                    "status": "pass" if node.is_test else "success",
                    "rows": None if node.is_test else 1000 + at * 7919,
                    "failures": 0 if node.is_test else None,
                    **{key: value for key, value in given.items() if value},
                    "started": utc_text(START + timedelta(seconds=start)),
                    "finished": None
                    if change and change.status == LOST
                    else utc_text(START + timedelta(seconds=start + seconds)),
                    "seconds": seconds,
                    "thread": f"Thread-{thread + 1} (worker)",
                }
            )
        )
    return tuple(results), max(free)
