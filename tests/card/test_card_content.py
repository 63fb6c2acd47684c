"""What a card says, for each way in which a run can end."""

from __future__ import annotations

import json
from itertools import pairwise

import card_runs
import pytest
from card_page import Page, page

from dbt_flow.records import NodeResult
from dbt_flow.report.card import CardExtra, card_document, render


@pytest.mark.parametrize("name", [name for name in card_runs.ALL if name != "big"])
def test_document_is_plain_json_and_page_is_small_and_well_formed(name: str) -> None:
    document = card_document(*card_runs.ALL[name]())
    assert document["version"] == 2
    again = json.loads(json.dumps(document))
    html = render(again)
    assert html == render(document)
    assert len(html.encode()) < 120_000
    Page(html)  # its end tags must fit


@pytest.mark.parametrize("name", [*card_runs.ALL])
def test_nothing_comes_from_elsewhere(name: str) -> None:
    card = page(name)
    for element in card.elements:
        for key, value in element.attributes.items():
            assert not key.startswith("on"), f"{element.tag} has a handler in an attribute"
            if key in ("src", "href", "srcset", "action", "poster", "data"):
                leads_out = element.tag == "a" and value in card_runs.LINKS.values() and name == "failing"
                assert leads_out or value.startswith(("#", "data:", "mailto:")), f"<{element.tag} {key}={value}>"
    style = card.one("style").text
    assert "url(" not in style and "@import" not in style
    assert not [e for e in card.elements if e.tag in ("img", "iframe", "object", "embed", "base", "form")]


def test_a_good_run_is_calm() -> None:
    card = page("good")
    assert card.section("failures") is None
    assert card.section("error") is None
    assert card.section("warnings") is None
    assert card.one(cls="verdict").text == "✓Good"
    assert card.one("p", "sentence").text == "All 15 models are good and all 30 tests passed."
    assert card.one("p", "next").text == "Nothing to do."
    assert "Retry" not in card.one("header").text


def test_each_cause_stands_once_with_what_it_blocks() -> None:
    card = page("failing")
    causes = card.all("article", "cause")
    assert [cause.classes - {"cause"} for cause in causes] == [{"bad"}] * 3
    heads = [h.text for h in card.all("h3", within="failures")]
    assert heads == [
        "✕carrier_id of stg_carriers is not unique: 8 values are there more than once",
        '✕int_payment_delays could not be built: Binder Error: Table "c" does not have a column named "carier_name"',
        "✕1 row of lane_prices has no price_id",
    ]
    assert "Blocks 18 nodes" in causes[0].text
    assert "8 none allowed" in causes[0].text
    assert "failing since 20 Nov 2026, 06:00 UTC" in causes[0].text
    assert "models/intermediate/int_payment_delays.sql" in causes[1].text
    assert "pricing owner of the model that it tests, in its dbt meta" in causes[2].text
    assert "compiled code at" not in causes[1].text and "Error in model" not in causes[1].text
    assert "dbt-flow reproduce CarrierRisk/123 int_payment_delays" in causes[1].text
    assert "dbt-flow retry CarrierRisk/123" in causes[1].text
    assert "delay_days" in next(e for e in card.all("details", "sql") if causes[1] in e.parents).text
    assert "3 of 45 nodes failed and 20 were skipped because of them; the other 22 are good." in card.one("header").text
    assert "not_null_stg_loads_load_id" in (card.section("warnings") or pytest.fail("no warnings")).text


def test_reproduce_falls_back_on_dbts_own_command() -> None:
    made, ended, _ = card_runs.failing()
    ended = type(ended).from_dict({**ended.to_dict(), "parameters": {"as_of": "2026-11-20"}})
    document = card_document(made, ended)
    told = """dbt build --select int_payment_delays --target prod --vars '{"as_of": "2026-11-20"}'"""
    assert document["causes"][1]["reproduce"] == told


def test_a_killed_run_names_what_was_being_built() -> None:
    card = page("killed")
    assert card.one(cls="verdict").text == "✕Died"
    heads = [h.text for h in card.all("h3", within="failures")]
    assert heads == ["?carrier_features was being built when the run died; 17 nodes had not begun"]
    assert [n.attributes["aria-label"].split(",")[0] for n in card.all("g", "begun")] == ["carrier_features"]


def test_a_refused_run_has_a_card_with_the_place_and_the_next_step() -> None:
    card = page("refused")
    assert card.one(cls="verdict").text == "✕Could not start"
    error = card.section("error")
    assert error and "models/marts/carrier_features.sql:14:9" in error.text and "stg_carriers_v2" in error.text
    assert "did you mean ref('stg_carriers')?" in card.one("p", "next").text
    for absent in ("graph", "timeline", "models", "tests", "failures"):
        assert card.section(absent) is None


def test_a_stopped_run_says_why_and_what_was_open() -> None:
    card = page("cancelled")
    assert card.one(cls="verdict").text == "■Cancelled"
    error = card.section("error")
    assert error and "raise timeout:" in error.text
    assert card.one("h3", within="failures").text.startswith("■int_payment_delays was being built when the run was stopped")


def test_a_live_card_refreshes_itself_and_a_finished_one_does_not() -> None:
    card = page("live")
    refresh = [e for e in card.all("meta") if e.attributes.get("http-equiv") == "refresh"]
    assert [e.attributes["content"] for e in refresh] == ["3"]
    assert card.data["live"] is True
    head = card.one("header").text
    assert "24 of 45 nodes done, 21 to go" in head and "Updated 21 Nov 2026, 06:00:20 UTC" in head
    assert [b.text for b in card.all("b", within="main") if any("now" in p.classes for p in b.parents)] == [
        "int_payment_delays",
        "carrier_safety",
    ]
    for name in ("good", "failing", "killed", "refused"):
        finished = page(name)
        assert not [e for e in finished.all("meta") if e.attributes.get("http-equiv")]
        assert finished.data["live"] is False


def test_a_card_before_the_plan_says_what_goes_on() -> None:
    card = page("parsing")
    assert card.one("p", "sentence").text == "Parsing the dbt project."


def test_a_planned_node_without_a_result_is_lost_never_green() -> None:
    made, ended, extra = card_runs.good()
    silent = type(ended).from_dict({**ended.to_dict(), "nodes": [node.to_dict() for node in ended.nodes[:-1]]})
    document = card_document(made, silent, extra)
    assert document["head"]["look"] == "bad"
    assert document["causes"][0]["kind"] == "lost"


def test_a_word_that_nobody_knows_is_a_failure() -> None:
    made = card_runs.plan()
    node = card_runs.model_id("risk_report")
    strange = NodeResult(id=node, status="sparkling", message="?", started=None)
    card = Page(render(card_document(made, card_runs.result(made, "success", {node: strange}))))
    assert card.one(cls="verdict").text == "✕Failed"
    assert "a word that dbt-flow does not know" in card.one("h3", within="failures").text


def test_tables_hold_every_node_without_javascript() -> None:
    card = page("failing")
    assert len(card.all("tr", within="models")) == 1 + 15
    assert len(card.all("tr", within="tests")) == 1 + 30
    first = [c.text for c in card.all("th", "c-name", within="models")][:2]
    assert first == ["int_payment_delays", "int_carrier_history"]


def test_graph_draws_models_with_their_tests_and_the_ends_of_the_line() -> None:
    card = page("failing")
    labels = [n.attributes["aria-label"] for n in card.all("g", "n")]
    assert "stg_carriers, model, success, 0.90 s, tests: 1 fail, 1 pass" in labels
    assert "carriers, source" in labels and "underwriting, exposure" in labels
    assert not [label for label in labels if label.startswith("unique_")]
    hurt = [n.attributes["aria-label"].split(",")[0] for n in card.all("g", "hurt")]
    assert hurt == ["stg_carriers", "lane_prices"], "built, and its test failed"
    document = card_document(*card_runs.failing())
    boxes = [(x, y) for _, _, _, x, y, *_ in document["graph"]["nodes"]]
    for at, (x, y) in enumerate(boxes):
        assert not [b for b in boxes[at + 1 :] if b[0] == x and abs(b[1] - y) < 42], "two boxes overlap"
    for a, b, _ in document["graph"]["edges"]:
        assert boxes[a][0] < boxes[b][0], "a line runs against the data"


def test_critical_path_ends_last_and_follows_edges_and_gates() -> None:
    made, ended, extra = card_runs.good()
    path = card_document(made, ended, extra)["timeline"]["path"]
    names = {node.name: node for node in made.nodes}
    last = max(ended.nodes, key=lambda node: node.finished or "")
    assert names[path[-1][0]].id == last.id
    allowed = {*made.edges, *made.gates}
    pairs = [(names[a[0]].id, names[b[0]].id) for a, b in pairwise(path)]
    assert pairs and all(pair in allowed for pair in pairs)


def test_a_big_run_stays_small_and_draws_what_matters() -> None:
    card = page("big")
    assert len(card.html.encode()) < 3_000_000
    assert len(card.data["models"]) == 5000 and len(card.data["tests"]) == 10_000
    assert len(card.all("tr", within="models")) == 101
    assert 10 < len(card.all("g", "n")) <= 90
    assert "m_02500, model, error" in " ".join(n.attributes["aria-label"] for n in card.all("g", "n"))
    graph = card.section("graph")
    assert graph and "5,041 nodes are too many to read in one drawing" in graph.text
    assert len(card.elements) < 8000


def test_ten_thousand_failures_do_not_make_a_heavy_page() -> None:
    made, _, _ = card_runs.big(3000, fail=False)
    changes = {
        node.id: NodeResult(id=node.id, status="fail", failures=7, message="x" * 20_000, compiled="select 1\n" * 20_000)
        for node in made.nodes
        if node.is_test
    }
    html = render(card_document(made, card_runs.result(made, "failed", changes), CardExtra()))
    assert len(html.encode()) < 3_000_000
    assert len(Page(html).all("article", "cause")) == 40


def test_an_absent_or_newer_document_gives_a_calm_page() -> None:
    assert "left nothing to show" in Page(render({})).one("main").text
    assert "newer dbt-flow" in Page(render({"version": 99})).one("main").text
