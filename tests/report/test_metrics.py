"""Metrics: datagram by datagram, over UDP and a Unix socket; the table; what no agent costs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from told_runs import PLAN, failing, refused, rules, run
from udp_listeners import Agent, udp_agent, unix_agent

from dbt_flow.report import statsd
from dbt_flow.report.metric_names import BY_NAME, METRICS, table
from dbt_flow.report.metrics import Around, Measured, measure, tag, trigger_kind, usage
from dbt_flow.report.rules import Rules, metrics_on

DOCS = Path(__file__).parents[2] / "docs"
LINE = re.compile(r"(dbt_flow\.[\w.]+):(\S+)\|(c|g|d)\|#(\S+)\Z")
DAG_TAGS = {"env", "service", "project", "dag", "owner", "target", "trigger"}


def all_of(rules_: Rules | None = None) -> Measured:
    around = Around(usage=usage(), history=({"status": "success", "started": "2026-11-20T06:00:00Z", "seconds": 60},))
    fresh = ({"unique_id": "source.f.raw.loads", "max_loaded_at_time_ago_in_s": 90.5, "status": "pass"},)
    around = replace(around, lateness=-60.0, delay=3.0, waiting=2, freshness=fresh, steps={"model.f.stg": usage()})
    rows = run(stg=("success", {"rows": 10}), stg_id=("fail", {"failures": 5}))
    return measure(rules_ or rules(), PLAN, rows, around)


def read(lines: list[str]) -> dict[str, list[tuple[float, str, dict[str, str]]]]:
    found: dict[str, list[tuple[float, str, dict[str, str]]]] = {}
    for line in lines:
        match = LINE.match(line)
        if match:
            name, value, kind, tags = match.groups()
            found.setdefault(name, []).append((float(value), kind, dict(t.split(":", 1) for t in tags.split(","))))
    return found


def test_the_document_prints_the_table() -> None:
    assert table() in (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert len(BY_NAME) == len(METRICS)
    assert all(metric.says and not metric.says.endswith(".") for metric in METRICS)


def test_every_metric_of_the_table_is_sent_and_no_other() -> None:
    names = {point.name for point in all_of().points}
    names |= {point.name for point in measure(rules(), PLAN, run(), Around(history=({"failed": ["model.f.stg"]},))).points}
    assert names == set(BY_NAME)


def sent(agent: Agent, monkeypatch: pytest.MonkeyPatch, measured: Measured) -> list[str]:
    monkeypatch.setenv("DD_DOGSTATSD_URL", agent.address)
    assert statsd.send(rules(), measured) == 0
    return agent.lines()


def test_over_udp(monkeypatch: pytest.MonkeyPatch) -> None:
    with udp_agent() as agent:
        lines = sent(agent, monkeypatch, all_of())
    found = read(lines)
    assert set(found) == {BY_NAME[point.name].full for point in all_of().points}
    ((value, kind, tags),) = found["dbt_flow.dag.runs"]
    assert (value, kind) == (1, "c")
    assert tags == {
        "project": "freight",
        "dag": "risk",
        "owner": "platform",
        "target": "prod",
        "trigger": "manual",
        "env": "prod",
        "service": "dbt-flow",
        "status": "failed",
    }
    for name, values in found.items():
        for _, kind, tags in values:
            extra = set(tags) - DAG_TAGS
            assert kind == {"count": "c", "gauge": "g", "distribution": "d"}[BY_NAME[name.removeprefix("dbt_flow.")].kind]
            assert extra <= ({"status"} if ".dag." in name or ".alerts." in name else {"node", "type", "status"})
            assert "Risk/1" not in str(tags)
    assert len(found["dbt_flow.node.results"]) == 6
    owners = {tags["node"]: tags["owner"] for _, _, tags in found["dbt_flow.node.results"]}
    assert owners["not_null_stg_id"] == "carriers"
    assert owners["fct"] == "platform"
    checks = [line for line in lines if line.startswith("_sc|")]
    assert [line.split("|")[1:3] for line in checks] == [["dbt_flow.dag", "2"], ["dbt_flow.node", "2"]]
    (event,) = [line for line in lines if line.startswith("_e{")]
    assert "risk failed" in event
    assert "5 rows of stg have no id" in event


def test_over_a_unix_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with unix_agent(tmp_path) as agent:
        lines = sent(agent, monkeypatch, all_of())
    assert read(lines)["dbt_flow.dag.duration"][0][:2] == (60, "d")


def test_settings_name_the_agent_and_variables_win(monkeypatch: pytest.MonkeyPatch) -> None:
    with udp_agent() as named, udp_agent() as said:
        mine = rules(metrics={"dogstatsd": named.address, "env": "eu", "service": "trucks", "tags": ["team:data"]})
        assert metrics_on(mine)
        statsd.send(mine, measure(mine, PLAN, run(), Around()))
        ((_, _, tags),) = read(named.lines())["dbt_flow.dag.runs"]
        assert (tags["env"], tags["service"], tags["team"]) == ("eu", "trucks", "data")
        monkeypatch.setenv("DD_AGENT_HOST", "127.0.0.1")
        monkeypatch.setenv("DD_DOGSTATSD_PORT", said.address.rpartition(":")[2])
        monkeypatch.setenv("DD_ENV", "from-variable")
        statsd.send(mine, measure(mine, PLAN, run(), Around()))
        ((_, _, tags),) = read(said.lines())["dbt_flow.dag.runs"]
        assert tags["env"] == "from-variable"
        assert not named.datagrams(0.1)


@pytest.mark.parametrize(
    ("said", "environ", "on"),
    [
        ({}, {}, False),
        ({}, {"DD_AGENT_HOST": "x"}, True),
        ({}, {"DD_DOGSTATSD_URL": "unix:///x"}, True),
        ({"off": True}, {"DD_AGENT_HOST": "x"}, False),
        ({"dogstatsd": "udp://x"}, {}, True),
        ({"api": True}, {}, True),
    ],
)
def test_when_metrics_are_sent(said: dict[str, object], environ: dict[str, str], on: bool) -> None:
    assert metrics_on(rules(metrics=said), environ) is on


@pytest.mark.parametrize("address", ["udp://127.0.0.1:9", "unix:///nowhere/at/all", "udp://127.0.0.1:1"])
def test_an_agent_that_is_not_there_costs_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_DOGSTATSD_URL", address)
    statsd.send(rules(), all_of())  # it raises nothing; and no such socket is waited for


def test_the_service_check_of_a_node_is_closed_by_the_next_good_result() -> None:
    first = measure(rules(), PLAN, failing(), Around())
    bad = [check for check in first.checks if check.name == "dbt_flow.node"]
    assert [(check.status, check.tags[-2]) for check in bad] == [(2, "node:not_null_stg_id")]
    second = measure(rules(), PLAN, run(2), Around(history=({"failed": ["test.f.stg_id"]},)))
    good = {check.tags: check.status for check in second.checks}
    assert good[bad[0].tags] == 0
    assert any("node:run" in check.tags for check in second.checks)
    (whole,) = [check for check in measure(rules(), None, refused(), Around()).checks if check.name == "dbt_flow.node"]
    assert (whole.status, whole.tags[-2]) == (2, "node:run")


def test_an_event_stays_under_8_kb() -> None:
    huge = run(stg=("error", {"message": "é\n" * 500_000}), alone=("error", {"message": "x" * 1_000_000}))
    event = measure(rules(), PLAN, huge, Around()).event
    assert event is not None
    assert len((event.title + event.text + "".join(event.tags)).encode()) < 8_000


def test_hostile_tags_and_quiet_nodes() -> None:
    assert tag("owner", "a,b|c#d e\x1b[31m") == "owner:a_b_c_d_e"
    assert tag("owner", "") == "owner:none"
    assert len(tag("node", "x" * 5_000)) < 200
    assert [trigger_kind(w) for w in ("by hand", "retry of Risk/1", "schedule 0 6 * * *")] == ["manual", "retry", "schedule"]
    quiet = measure(rules(metrics={"nodes": False}), PLAN, failing(), Around())
    assert {tag for point in quiet.points for tag in point.tags if tag.startswith("node:")} == {
        "node:not_null_stg_id",
        "node:fct",
        "node:mart",
    }
