"""``alerts``, ``metrics``, ``links``, ``sample_rows``: what is good, what is refused where, what nobody would be told."""

from __future__ import annotations

import pytest
from spec_root import Root

from dbt_flow.destinations import Alerting, Destinations, Metering, Monitors, Quarantine
from dbt_flow.errors import DbtFlowError, flatten
from dbt_flow.settings import load_settings

GOOD = """
owners:
  carriers: {pagerduty: PD_CARRIERS, webhook: HOOK, email: c@freight.example, datadog: "@pagerduty-carriers"}
alerts:
  pagerduty: PD
  webhooks: [HOOK_ALL]
  slack: SLACK_BOT
  watched_by: serve
  quarantine:
    not_null_id: {until: 2026-12-31, owner: carriers, reason: known}
metrics: {dogstatsd: "unix:///run/dsd.socket", env: prod, tags: [team:data], nodes: false}
links: {card: "https://cards/{target}/{dag}/{run}", query: "https://snow/{query}"}
sample_rows: 5
"""


def read(root: Root, text: str) -> Destinations:
    root.write("dbt_flow.yml", text)
    return load_settings(start=root.folder, environ={}).destinations


def test_all_of_it(root: Root) -> None:
    said = read(root, GOOD)
    terms = Quarantine("not_null_id", "2026-12-31", "carriers", "known")
    assert said.alerts == Alerting("PD", None, ("HOOK_ALL",), "SLACK_BOT", None, "serve", (terms,))
    assert said.metrics == Metering(dogstatsd="unix:///run/dsd.socket", env="prod", tags=("team:data",), nodes=False)
    assert said.links == {"card": "https://cards/{target}/{dag}/{run}", "query": "https://snow/{query}"}
    assert said.sample_rows == 5
    assert read(root, "alerts: {datadog: {handle: '@x', site: datadoghq.eu}}\n").alerts.datadog == Monitors(
        handle="@x", site="datadoghq.eu"
    )
    assert read(root, "metrics: off\n").metrics.off


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("alerts: {datadog: true, pagerduty: PD}", "bad-value", 1, 25),
        ("owners: {a: {pagerduty: PD}}\nalerts: {datadog: true}", "bad-value", 1, 14),
        ("alerts: {pagerduty: 0123456789abcdef0123456789abcdef}", "bad-value", 1, 21),
        ("owners: {a: {webhook: https://hooks.example/x}}", "bad-value", 1, 23),
        ("alerts: {webhooks: [https://hooks.example/x]}", "bad-value", 1, 20),
        ("alerts: {pager: X}", "unknown-key", 1, 10),
        ("alerts: {quarantine: {t: {until: soon, owner: a}}}", "bad-value", 1, 26),
        ("alerts: {quarantine: {t: {until: 2026-01-01}}}", "missing-key", 1, 26),
        ("alerts: {quarantine: [t]}", "wrong-type", 1, 22),
        ("alerts: {watched_by: me}", "bad-value", 1, 22),
        ("metrics: {dogstatsd: localhost}", "bad-value", 1, 22),
        ("metrics: {tags: [a b]}", "bad-value", 1, 17),
        ("metrics: {nodes: 3}", "wrong-type", 1, 18),
        ("links: {card: ftp://x}", "bad-value", 1, 15),
        ("links: {card: 'https://x/{nope}'}", "bad-value", 1, 15),
        ("links: {card: 'https://x/{'}", "bad-value", 1, 15),
        ("links: {card: 'https://x/{query}'}", "bad-value", 1, 15),
        ("links: {query: 'https://x/{run}'}", "bad-value", 1, 16),
        ("sample_rows: 1000", "bad-value", 1, 14),
        ("sample_rows: yes", "bad-value", 1, 14),
    ],
)
def test_what_is_refused_has_a_place(root: Root, text: str, code: str, line: int, column: int) -> None:
    with pytest.raises(DbtFlowError) as caught:
        read(root, text + "\n")
    (error,) = flatten(caught.value)
    assert error.place is not None
    assert (error.code, error.place.line, error.place.column) == (code, line, column)
    assert error.hint


def untold(root: Root) -> list[str]:
    return [warning.message for warning in root.fleet().warnings if warning.code == "untold"]


def test_what_nobody_would_be_told(root: Root) -> None:
    root.write("dbt_flow.yml", "owners: {a: {email: a@b.c}}\n")
    root.dag("risk", "owner: a\nselect: x\ndone_by: '07:00'\nalerts: {page: error, notify: warn}\n")
    assert untold(root) == [
        "nobody can be paged: a has no pagerduty, and dbt_flow.yml names none",
        "risk pages, and nobody would tell of a run that died with its machine or never started",
        "nobody can be written to: a has no webhook, and dbt_flow.yml names none",
        "risk has done_by, and nobody would tell that it never started",
    ]
    root.write("dbt_flow.yml", "owners: {a: {pagerduty: PD, webhook: H}}\nalerts: {watched_by: serve}\n")
    assert untold(root) == []
    root.write("dbt_flow.yml", "owners: {a: {webhook: H}}\nalerts: {datadog: true}\n")
    assert untold(root) == []
    over = "alerts: {watched_by: serve, quarantine: {t: {until: 2020-01-01, owner: a}}}\n"
    root.write("dbt_flow.yml", "owners: {a: {pagerduty: P, webhook: H}}\n" + over)
    assert untold(root) == ["the quarantine of t ended on 2020-01-01; its owner is a"]
