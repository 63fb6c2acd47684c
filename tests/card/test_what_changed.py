"""After which change a node fails, what it stands on, what it reaches, and whose it is."""

from __future__ import annotations

from dataclasses import replace

import card_runs
import pytest
from card_page import Page
from card_plan import model_id, plan
from card_plan import test_of as of_test

from dbt_flow.records import NodeResult
from dbt_flow.report.card import card_document, render
from dbt_flow.report.causes import owner_rule
from dbt_flow.report.extra import CardExtra, LastGood
from dbt_flow.report.suspects import Upstream, change

CARRIERS = "source.freight.registry.carriers"


def upstream(extra: CardExtra, changes: dict[str, NodeResult] | None = None) -> Upstream:
    made = plan()
    return Upstream(made, {node.id: node for node in card_runs.result(made, changes=changes).nodes}, extra)


def good(**changes) -> LastGood:
    made = plan()
    checksums = {node.id: str(node.checksum) for node in made.nodes} | changes.get("checksums", {})
    rows = {node.id: node.rows for node in card_runs.result(made).nodes if node.rows is not None} | changes.get("rows", {})
    return LastGood("CarrierRisk/121", "2026-11-19T06:00:00.000Z", checksums, rows)


@pytest.mark.parametrize(
    ("checksums", "rows", "kind", "told"),
    [
        ({}, {}, "neither", "no row count above it has"),
        ({model_id("stg_carriers"): "older"}, {}, "code", "stg_carriers"),
        ({of_test("unique_stg_carriers_carrier_id"): "older"}, {}, "code", "unique_stg_carriers_carrier_id"),
        ({}, {CARRIERS: 10}, "data", "rows of registry.carriers"),
        ({model_id("stg_carriers"): "older"}, {CARRIERS: 10}, "both", "rows of registry.carriers"),
        ({model_id("lane_prices"): "older"}, {"source.freight.tms.loads": 1}, "neither", "no row count"),
    ],
)
def test_a_change_is_looked_for_in_code_and_data_above(checksums, rows, kind: str, told: str) -> None:
    last = good(checksums=checksums, rows={CARRIERS: 4000, **rows})
    look = upstream(CardExtra(last_good=last, source_rows={CARRIERS: 4000}))
    found = change(look.plan.by_id[of_test("unique_stg_carriers_carrier_id")], look, look.extra)
    assert found["kind"] == kind
    assert told in found["text"]


def test_without_a_good_run_nothing_is_claimed() -> None:
    look = upstream(CardExtra())
    assert change(look.plan.by_id[model_id("risk_report")], look, look.extra) == {"kind": "", "text": ""}


def test_the_first_suspect_is_on_top() -> None:
    extra = CardExtra(
        last_good=good(checksums={model_id("stg_loads"): "older"}, rows={CARRIERS: 5000}),
        source_rows={CARRIERS: 0, "source.freight.tms.payments": 7},
        freshness={"source.freight.tms.loads": {"status": "warn", "max_loaded_at_time_ago_in_s": 300_000.0}},
    )
    shown, more = upstream(extra).suspects(plan().by_id[model_id("fraud_scores")])
    names = [one["name"] for one in shown]
    assert names[:3] == ["registry.carriers", "stg_loads", "tms.loads"]
    assert shown[0]["why"] == ["empty; 5,000 rows in the last good run"]
    assert shown[1]["why"] == ["its code has changed since the last good run"]
    assert shown[2]["why"] == ["not fresh: last loaded 3 days ago"]
    assert "tms.payments" in names and "stg_crashes" not in names, "sources always, own models when they are odd"
    assert more == 0 and shown[0]["owner"] == "registry-team"


def test_downstream_names_exposures_dags_and_flows_once_each() -> None:
    causes = card_document(*card_runs.failing())["causes"]
    assert causes[0]["exposures"] == [["underwriting", "underwriters"]]
    assert causes[0]["waiting"] == [
        ["DAG", "carrier_pricing", "pricing", "reads risk_report, starts when this DAG has finished"],
        ["flow", "TrainCarrierRisk", "ml-platform", "starts when this DAG has finished"],
    ]
    assert causes[1]["exposures"] == [], "what stands on it is held up by another failure"


def test_the_owners_rule_is_said() -> None:
    made = plan()
    node = made.by_id[model_id("lane_prices")]
    test = made.by_id[of_test("unique_lane_prices_price_id")]
    assert owner_rule(made, node, "risk") == "the model's own, in its dbt meta"
    assert owner_rule(made, test, "risk") == "owner of the model that it tests, in its dbt meta"
    assert owner_rule(made, made.by_id[model_id("stg_loads")], "risk") == "owner of the DAG"
    grouped = replace(node, group="pricing_group", owner_by="group")
    assert owner_rule(made, grouped, "risk") == "the model's own, owner of its group pricing_group"


def test_a_sample_is_shown_and_what_is_masked_is_named() -> None:
    card = Page(render(card_document(*card_runs.failing())))
    sample = card.one(cls="sample")
    assert [th.text for th in card.all("th") if sample in th.parents] == ["unique_field", "n_records", "contact_email"]
    assert "C-1093" in sample.text and "•••" in sample.text and "null" in sample.text
    assert "contact_email" in card.one("article", "cause").text
    assert "3 of the 8 failing rows" in card.one("article", "cause").text


def test_deadline_links_and_the_run_before_are_on_top() -> None:
    card = Page(render(card_document(*card_runs.failing())))
    facts = card.one("dl", "facts").text
    assert "07:00 America/Chicago ✕ missed: it is not good" in facts
    assert "dbt-flow card CarrierRisk/122" in facts
    assert [a.attributes["href"] for a in card.all("a") if a.text == "Metaflow"] == [card_runs.LINKS["metaflow"]]
    assert not [a for a in Page(render(card_document(*card_runs.good()))).all("a") if a.text == "Metaflow"]


def test_a_model_that_is_empty_for_the_first_time_is_a_warning() -> None:
    card = Page(render(card_document(*card_runs.empty())))
    assert card.one(cls="verdict").text == "✓Good, with warnings"
    warnings = card.section("warnings")
    assert warnings and "lane_prices was built with no row at all" in warnings.text
    made, ended, extra = card_runs.empty()
    for counts in ((0, 5, 5), (5, 5)):
        usual = replace(extra, rows={model_id("lane_prices"): counts})
        assert card_document(made, ended, usual)["head"]["look"] == "good", f"{counts} says nothing"


def test_sources_have_a_table() -> None:
    card = Page(render(card_document(*card_runs.failing())))
    rows = [tr.text for tr in card.all("tr", within="sources")]
    assert rows[1].startswith("registry.carriers ✕error 2026-11-19 06:00 48 h 00 min 4,000 9,000 registry-team")
    assert len(rows) == 6
