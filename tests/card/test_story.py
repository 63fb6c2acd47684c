"""The terminal's story."""

from __future__ import annotations

from io import StringIO

import card_runs
import pytest
from rich.console import Console
from rich.text import Text

from dbt_flow.plan.planned import Plan
from dbt_flow.records import Node, NodeResult, RunResult
from dbt_flow.report.card import card_document
from dbt_flow.report.extra import CardExtra
from dbt_flow.report.story import story


def told(name: str, width: int = 100) -> list[str]:
    made, ended, extra = card_runs.ALL[name]()
    return [line.text for line in story(made, ended, width=width, commands=extra.commands, extra=extra)]


def test_a_good_run_is_one_line_and_its_counts() -> None:
    assert told("good") == [
        "✓ carrier_risk: All 15 models are good and all 30 tests passed (39 s)",
        "  15 models: 15 success · 30 tests: 30 pass",
        "  card: dbt-flow card CarrierRisk/123",
    ]


def test_a_failing_run_tells_each_cause_once() -> None:
    lines = told("failing", 140)
    assert sum(line.startswith("  ✕") for line in lines) == 3
    assert "    int_payment_delays · models/intermediate/int_payment_delays.sql · owner risk-analytics · blocks 5" in lines
    assert "    failing since 2026-11-20 06:00 UTC" in "\n".join(lines)
    assert '    Candidate bindings: : "carrier_name", "carrier_id"' in lines
    code, caret = (next(line for line in lines if mark in line) for mark in ("LINE 8", "^"))
    assert code[caret.index("^")] == "c", "the caret still points at the column"
    assert lines[-1] == "  next: dbt-flow retry CarrierRisk/123"
    assert not [line for line in lines if "Got 3 results" in line or "compiled code at" in line]


def test_a_refusal_gives_place_and_hint() -> None:
    lines = told("refused")
    assert lines[:2] == ["✕ carrier_risk: dbt cannot parse the project (2.4 s)", "  models/marts/carrier_features.sql:14:9"]
    assert "  -> did you mean ref('stg_carriers')? Then: dbt-flow run carrier_risk" in lines


@pytest.mark.parametrize("name", [*card_runs.ALL])
@pytest.mark.parametrize("width", [20, 80, 200])
def test_it_fits_the_terminal_and_prints_without_markup(name: str, width: int) -> None:
    made, ended, extra = card_runs.ALL[name]()
    lines = story(made, ended, width=width, commands=extra.commands, extra=extra)
    assert len(lines) < 60
    console = Console(width=400, record=True, file=StringIO())
    for line in lines:
        assert "\n" not in line.text
        if not line.text.startswith(("  next:", "  card:")):
            assert len(line.text) <= max(width, 40)
        console.print(Text(line.text, style=line.style))
    assert console.export_text().splitlines() == [line.text for line in lines]


@pytest.mark.parametrize(
    ("materialized", "said"), [("table", True), ("incremental", True), ("view", False), ("ephemeral", False)]
)
def test_a_test_on_a_table_says_that_a_retry_does_not_build_it(materialized: str, said: bool) -> None:
    model = Node("model.p.fct", "model", "fct", "p", "fct.sql", materialized=materialized, relation="fct")
    check = Node("test.p.few", "test", "few", "p", "fct.yml", parents=(model.id,), severity="error", tests=model.id)
    plan = Plan("risk", "p", "dev", "duckdb", (model, check), ((model.id, check.id),), (), ())
    ended = (NodeResult(model.id, "success"), NodeResult(check.id, "fail", failures=2))
    run = RunResult("risk", "Risk", "Risk/1", "failed", "", "dev", "2026-11-21T06:00:00Z", nodes=ended)
    commands = {"retry": "dbt-flow retry Risk/1"}
    lines = [line.text for line in story(plan, run, width=400, commands=commands)]
    assert any("dbt-flow run risk builds it anew; a retry only tests it again" in line for line in lines) is said
    assert lines[-1] == "  next: dbt-flow retry Risk/1"
    card = card_document(plan, run, CardExtra(commands=commands))["head"]["next"]
    assert ("a retry only tests it again" in card) is said
    assert ("Then retry" in card) is not said
