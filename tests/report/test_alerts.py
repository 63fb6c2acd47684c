"""What is told of a run: one page per root cause, to its owner, in order, and nothing that a retry mended."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from told_runs import NODES, PLAN, failing, refused, rules, run

from dbt_flow.plan.planned import Plan
from dbt_flow.records import RUN_CANCELLED, RunResult
from dbt_flow.report.alerts import MOST_PAGES, News, news, troubles
from dbt_flow.report.causes import owner_of
from dbt_flow.report.messages import Incident, Message
from dbt_flow.report.rules import Rules


def after(*runs: RunResult, by: Rules | None = None, plan: Plan | None = PLAN) -> tuple[list[list[Message]], list[Incident]]:
    """The messages of each run, and what is open in the end."""
    there: dict[str, Incident] = {}
    told = []
    for result in runs:
        said: News = news(by or rules(), plan if result.nodes else None, result, there.values())
        there.update({incident.dedup: incident for incident in said.incidents})
        told.append(list(said.messages))
    return told, [incident for incident in there.values() if incident.open]


def short(messages: list[Message]) -> list[tuple[str, str]]:
    return [(message.action, message.route.variable) for message in messages]


def test_one_page_for_one_cause_to_its_owner() -> None:
    ((page, notice),), still = after(failing())
    assert (page.action, page.route.variable) == ("trigger", "PD_CARRIERS")
    assert (notice.action, notice.route.variable) == ("notice", "HOOK_CARRIERS")
    assert page.dedup == "dbt_flow/freight/prod/risk/test.f.stg_id"
    assert page.title == "risk: 5 rows of stg have no id"
    assert dict(page.details) == {
        "cause": "5 rows of stg have no id",
        "node": "not_null_stg_id (models/s.yml)",
        "failing rows": "5",
        "owner": "carriers",
        "blocks": "2: fct, mart",
        "message": "Got 5 results",
        "run": "Risk/1 on prod, started by hand",
        "retry": "dbt-flow retry Risk/1",
        "card": "dbt-flow card Risk/1",
    }
    assert [incident.nodes for incident in still] == [("test.f.stg_id",)]


def test_the_page_carries_links_where_they_are_served() -> None:
    mine = rules(links={"card": "https://cards/{target}/{dag}/{run}", "metaflow": "https://ui/{flow}/{run}"})
    (((page, *_),), _) = after(failing(7), by=mine)
    assert page.links == (("https://cards/prod/risk/7", "Card"), ("https://ui/Risk/7", "Metaflow"))


def test_the_same_cause_is_the_same_incident_and_people_are_written_to_once_a_day() -> None:
    told, still = after(failing(1, 6), failing(2, 7), failing(3, 8))
    assert [short(messages) for messages in told] == [
        [("trigger", "PD_CARRIERS"), ("notice", "HOOK_CARRIERS")],
        [("trigger", "PD_CARRIERS")],
        [("trigger", "PD_CARRIERS")],
    ]
    assert len({message.dedup for messages in told for message in messages}) == 1
    assert len(still) == 1
    tomorrow = replace(failing(4), finished="2026-11-22T07:00:00.000Z")
    assert short(after(failing(1), tomorrow)[0][1]) == [("trigger", "PD_CARRIERS"), ("notice", "HOOK_CARRIERS")]


def test_the_next_good_result_of_the_node_resolves_it() -> None:
    (_, mended), still = after(failing(1), run(2))
    assert short(mended) == [("resolve", "PD_CARRIERS"), ("resolve", "HOOK_CARRIERS")]
    assert still == []
    other = run(3, alone=("error", {"message": "no such table"}))
    (_, both), still = after(failing(1), other)
    assert short(both) == [
        ("trigger", "PD_SAFETY"),
        ("notice", "HOOK_DEFAULT"),
        ("resolve", "PD_CARRIERS"),
        ("resolve", "HOOK_CARRIERS"),
    ]
    assert [incident.nodes for incident in still] == [("model.f.alone",)]


def test_what_was_not_run_stays_open() -> None:
    skipped = run(2, stg=("error", {"message": "boom"}), stg_id="skipped", fct="skipped", mart="skipped")
    (_, _), still = after(failing(1), skipped)
    assert sorted(incident.nodes[0] for incident in still) == ["model.f.stg", "test.f.stg_id"]


def test_a_run_that_is_good_in_the_end_tells_nothing() -> None:
    """A retry within the run mended it: only the settled result is told."""
    assert after(replace(run(), attempt=2))[0] == [[]]


def test_the_same_error_many_times_is_one_page() -> None:
    lost = {"message": "Connection refused by host 10.0.0.1"}
    (messages,), still = after(run(1, fct=("error", lost), mart=("error", lost)))
    assert short(messages) == [("trigger", "PD_DEFAULT"), ("notice", "HOOK_DEFAULT")]
    assert still[0].nodes == ("model.f.fct", "model.f.mart")
    # One of the two is mended: the incident goes on under its key; both: it is over.
    half = run(2, mart=("error", lost))
    (_, again), still = after(run(1, fct=("error", lost), mart=("error", lost)), half)
    assert [message.dedup for message in again] == [messages[0].dedup]
    assert still[0].nodes == ("model.f.mart",)


def test_a_run_that_died_or_was_refused_pages_for_the_run() -> None:
    ((page, _),), _ = after(refused())
    assert (page.dedup, page.severity) == ("dbt_flow/freight/prod/risk/run", "critical")
    dead = replace(run(2, fct="lost", mart="lost"), reason="the process that ran it died without a word")
    ((page, _),), _ = after(dead)
    assert page.dedup.endswith("/run")
    assert page.title.startswith("risk: the process that ran it died without a word: ")
    (_, messages), still = after(refused(), failing(2))
    assert ("resolve", "PD_DEFAULT") in short(messages)  # it came to an end: the run itself works again
    assert [incident.nodes for incident in still] == [("test.f.stg_id",)]


def test_who_stops_a_run_is_not_paged_for_it() -> None:
    stopped = replace(run(1, fct="cancelled", mart="cancelled"), status=RUN_CANCELLED)
    assert after(stopped)[0] == [[]]
    with_failure = replace(failing(2), status=RUN_CANCELLED)
    assert short(after(with_failure)[0][0])[0] == ("trigger", "PD_CARRIERS")


@pytest.mark.parametrize(
    ("page", "notify", "said"),
    [
        ("error", "off", []),
        ("warn", "off", [("trigger", "PD_SAFETY")]),
        ("off", "warn", [("notice", "HOOK_DEFAULT")]),
        ("off", "off", []),
    ],
)
def test_levels(page: str, notify: str, said: list[tuple[str, str]]) -> None:
    warned = run(1, stg_warn=("warn", {"failures": 3}))
    assert short(after(warned, by=rules(page=page, notify=notify))[0][0]) == said


def test_through_datadog_nothing_is_paged_from_here() -> None:
    mine = rules(alerts={"datadog": {"api_key": "DD_API_KEY"}, "webhooks": ["HOOK"]})
    assert short(after(failing(), by=mine)[0][0]) == [("notice", "HOOK_CARRIERS")]


def test_nobody_to_page_is_said() -> None:
    said = news(rules(alerts={}, owners={}), PLAN, failing(), ())
    assert said.messages == ()
    assert said.silent == ("nobody can be paged for carriers: no pagerduty in dbt_flow.yml",)


def test_the_owner_rule() -> None:
    """The test's own meta, else its model's, else its group's, else the DAG's."""
    by_name = {node.name: node for node in NODES}
    stg, test = by_name["stg"], by_name["not_null_stg_id"]
    cases = [
        (replace(test, owner="own", owner_by="meta"), stg, "own"),
        (test, stg, "carriers"),
        (replace(test, owner="group", owner_by="group"), stg, "carriers"),
        (replace(test, owner="group", owner_by="group"), replace(stg, owner=None), "group"),
        (test, replace(stg, owner="group", owner_by="group"), "group"),
        (test, replace(stg, owner=None), "dag"),
    ]
    for node, model, owner in cases:
        plan = replace(PLAN, nodes=(model, node))
        assert owner_of(plan, node, "dag") == owner


def test_a_stranger_in_meta_is_told_through_the_dags_owner() -> None:
    plan = replace(PLAN, nodes=tuple(replace(n, owner="a stranger") if n.name == "stg" else n for n in NODES))
    ((page, notice),), _ = after(failing(), by=rules(owner="safety"), plan=plan)
    assert (page.route.variable, notice.route.variable) == ("PD_SAFETY", "HOOK_DEFAULT")
    assert page.details["owner"] == "a stranger"


def quarantine(until: str) -> dict[str, object]:
    terms = {"test": "not_null_stg_id", "until": until, "owner": "carriers", "reason": "carriers resend"}
    return {"pagerduty": "PD_DEFAULT", "quarantine": [terms]}


def test_quarantine_is_silent_until_its_date_and_loud_after() -> None:
    silent = rules(alerts=quarantine("2026-11-21"))
    assert after(failing(), by=silent)[0] == [[]]
    found, told = troubles(silent, PLAN, failing(), date(2026, 11, 21))
    assert (found, told) == ([], ["not_null_stg_id is quarantined until 2026-11-21 by carriers: carriers resend"])
    ((page, _),), _ = after(failing(), by=rules(alerts=quarantine("2026-11-20")))
    assert page.title.endswith("; its quarantine, owned by carriers, ended on 2026-11-20")


def test_a_test_that_is_quarantined_closes_its_incident() -> None:
    there = news(rules(), PLAN, failing(), ()).incidents
    said = news(rules(alerts=quarantine("2026-12-31")), PLAN, failing(2), there)
    assert [message.action for message in said.messages] == ["resolve", "resolve"]


def test_a_storm_is_told_together() -> None:
    nodes = tuple(replace(NODES[5], id=f"model.f.m{n}", name=f"m{n}") for n in range(40))
    plan = replace(PLAN, nodes=nodes, edges=(), gates=())
    results = [
        replace(run().nodes[0], id=n.id, status="error", message=f"{'abcdefgh'[i % 8] * (i + 3)}") for i, n in enumerate(nodes)
    ]
    storm = replace(failing(), nodes=tuple(results))
    (messages,), still = after(storm, plan=plan)
    assert sum(message.action == "trigger" for message in messages) == MOST_PAGES == len(still)
    assert sum(len(incident.nodes) for incident in still) == 40
    (_, _), still = after(storm, replace(run(2), nodes=tuple(replace(r, status="success") for r in results)), plan=plan)
    assert still == []


def test_hostile_text_is_harmless() -> None:
    nasty = "\x1b[31m<script>alert(1)</script> \u202e" + "ж" * 1_000_000
    ((page, notice),), _ = after(run(1, fct=("error", {"message": nasty}), mart="skipped"))
    for text in (page.title, page.body, notice.body, *page.details.values()):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert len(text) < 7_000
    assert len(page.title) <= 500


def test_the_same_news_has_the_same_ids() -> None:
    first, second = (news(rules(), PLAN, failing(), ()).messages for _ in range(2))
    assert [message.id for message in first] == [message.id for message in second]
    assert Message.from_dict(first[0].to_dict()) == first[0]
