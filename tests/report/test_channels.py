"""PagerDuty's real client over TLS, apprise's real webhooks, Datadog's real client: on loopback, on good and on bad days."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from told_runs import OWNERS, PLAN, failing, rules, run
from udp_listeners import Answer, PagerDuty, Request, self_signed, web

from dbt_flow.destinations import Monitors
from dbt_flow.errors import InputError
from dbt_flow.report import agentless, channels
from dbt_flow.report.alerts import news
from dbt_flow.report.channels import PAGERDUTY_URL, address, defused, send
from dbt_flow.report.messages import Message
from dbt_flow.report.metrics import Around, measure
from dbt_flow.report.monitors import handles, install
from dbt_flow.report.outbox import NotSent, Outbox
from dbt_flow.report.trying import try_all
from dbt_flow.state.store import FolderStore

KEY = "R0UT1NGKEY" * 3


@pytest.fixture
def duty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """PagerDuty on loopback, with a certificate that is trusted through SSL_CERT_FILE."""
    certificate, tls = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("PD_CARRIERS", KEY)
    pagerduty = PagerDuty()
    with web(pagerduty, tls) as site:
        monkeypatch.setenv(PAGERDUTY_URL, site.url)
        yield pagerduty


def page() -> Message:
    return news(rules(links={"card": "https://cards/{dag}/{run}"}), PLAN, failing(), ()).messages[0]


def end() -> Message:
    opened = news(rules(), PLAN, failing(), ()).incidents
    return news(rules(), PLAN, run(2), opened).messages[0]


def test_a_page_and_its_end(duty: PagerDuty) -> None:
    send(page())
    assert duty.open == {"dbt_flow/freight/prod/risk/test.f.stg_id"}
    (event,) = duty.events
    assert event["routing_key"] == KEY
    payload = event["payload"]
    assert payload["summary"] == "risk: 5 rows of stg have no id"
    assert (payload["source"], payload["severity"]) == ("freight/prod", "error")
    assert (payload["component"], payload["group"]) == ("risk", "carriers")
    details = payload["custom_details"]
    assert details["failing rows"] == "5"
    assert details["blocks"] == "2: fct, mart"
    assert details["retry"] == "dbt-flow retry Risk/1"
    assert event["links"] == [{"href": "https://cards/risk/1", "text": "Card"}]
    send(end())
    assert duty.open == set()


@pytest.mark.parametrize(
    ("mood", "said"),
    [(429, "429"), (500, "500"), (503, "503"), (400, "400"), (401, "401"), ("garbage", "cannot be reached|PagerDuty answered")],
)
def test_bad_answers(duty: PagerDuty, mood: int | str, said: str) -> None:
    duty.moods = [mood]
    with pytest.raises(NotSent, match=said) as caught:
        send(page())  # once: a try of the client's own would be accepted
    assert caught.value.wait == (1.0 if mood == 429 else None)
    assert KEY not in caught.value.why
    send(page())  # and the next time all is well
    assert len(duty.events) == 1


def test_silence_is_not_waited_out(duty: PagerDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_SECONDS", 0.3)
    duty.moods = ["silence"]
    with pytest.raises(NotSent, match="cannot be reached"):
        send(page())  # once, as above


def test_nobody_there_and_a_certificate_that_nobody_signed(duty: PagerDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotSent, match="cannot be reached"):
        send(page())
    monkeypatch.setenv(PAGERDUTY_URL, "https://127.0.0.1:9")
    with pytest.raises(NotSent, match="cannot be reached"):
        send(page())
    assert duty.events == []


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PD_CARRIERS", raising=False)
    with pytest.raises(NotSent, match="the variable PD_CARRIERS is not set"):
        send(page())
    monkeypatch.setenv("PD_CARRIERS", KEY)
    monkeypatch.setattr(channels, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(NotSent, match=r"pagerduty is not installed: pip install 'dbt-flow\[alerts\]'"):
        send(page())


def test_an_outage_of_pagerduty_loses_nothing(duty: PagerDuty, tmp_path: Path) -> None:
    """Down, slow to recover, limited: in the end each incident was opened and closed, in order."""
    box = Outbox(FolderStore(tmp_path / "state"))
    opened = news(rules(), PLAN, failing(), ())
    closed = news(rules(), PLAN, run(2), opened.incidents)
    pages = [m for m in (*opened.messages, *closed.messages) if m.route.channel == "pagerduty"]
    box.put(pages)
    duty.moods = [500, 429, "garbage", 503, 202, 500]
    for _ in range(12):
        if not box.count():
            break
        box.flush(send, at_once=True)
    assert box.count() == 0
    assert [event["event_action"] for event in duty.events] == ["trigger", "resolve"]
    assert duty.open == set()


def test_a_webhook_takes_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    notice = news(rules(), PLAN, failing(), ()).messages[1]
    with web(lambda _: (200, {}, {})) as site:
        monkeypatch.setenv("HOOK_CARRIERS", f"{site.url}/hooks/T0KEN")
        send(notice)
        (request,) = site.requests
        assert request.path == "/hooks/T0KEN"
        assert request.body["title"] == "risk: 5 rows of stg have no id"
        assert "retry: dbt-flow retry Risk/1" in request.body["message"]
        site.answer = lambda _: (500, {}, {})
        with pytest.raises(NotSent, match="what HOOK_CARRIERS names did not take the message"):
            send(notice)
    with pytest.raises(NotSent):
        send(notice)
    monkeypatch.setenv("HOOK_CARRIERS", "no url at all")
    with pytest.raises(NotSent, match="no URL that apprise knows"):
        send(notice)


def test_addresses() -> None:
    assert address("https://example.com/x", "") == "jsons://example.com/x"
    assert address("https://hooks.slack.com/services/T/B/X", "") == "https://hooks.slack.com/services/T/B/X"
    assert address("slack://T1/T2/T3/", "#risk") == "slack://T1/T2/T3/%23risk"
    assert address("mailto://u:p@host?x=1", "a@b.c") == "mailto://u:p@host?x=1&to=a%40b.c"


def test_nobody_is_called_by_what_a_warehouse_said() -> None:
    assert "<!channel>" not in defused("see <!channel> and @everyone")
    assert "@everyone" not in defused("see <!channel> and @everyone")
    assert defused("x < 3 and a@b.c") == "x < 3 and a@b.c"


def test_alerts_test_tries_each_place(duty: PagerDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    with web(lambda _: (200, {}, {})) as site:
        monkeypatch.setenv("HOOK_CARRIERS", site.url)
        tried = try_all(rules(owner="carriers"))
        assert [(item.route.variable, item.trouble) for item in tried] == [("PD_CARRIERS", ""), ("HOOK_CARRIERS", "")]
        assert [event["event_action"] for event in duty.events] == ["trigger", "resolve"]
        assert duty.events[0]["payload"]["severity"] == "info"
        assert "nothing is wrong" in site.requests[0].body["title"]
    assert try_all(rules(owner="safety"))[0].trouble == "the variable PD_SAFETY is not set"


# ---- Datadog's API


class Datadog:
    """Monitors by id, and what else was sent."""

    def __init__(self) -> None:
        self.monitors: dict[int, dict[str, Any]] = {}

    def __call__(self, request: Request) -> Answer:
        if request.path.startswith("/api/v1/monitor"):
            if request.method == "GET":
                return 200, list(self.monitors.values()), {}
            number = int(request.path.rpartition("/")[2]) if request.method == "PUT" else len(self.monitors) + 1
            kept = self.monitors.get(number, {})
            self.monitors[number] = {**kept, **body_of(request), "id": number, "creator": {"name": "x"}}
            return 200, self.monitors[number], {}
        return 202, {"errors": [], "status": "ok"}, {}


def body_of(request: Request) -> Any:
    raw = request.body
    if isinstance(raw, bytes):
        kind = request.headers.get("content-encoding")
        raw = json.loads(gzip.decompress(raw) if kind == "gzip" else zlib.decompress(raw))
    return raw


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_API_KEY", "a" * 32)
    monkeypatch.setenv("DD_APP_KEY", "b" * 40)


@pytest.mark.usefixtures("keys")
def test_monitors_are_installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    datadog = Datadog()
    with web(datadog) as site:
        monkeypatch.setenv("DATADOG_HOST", site.url)
        said = Monitors(handle="@pagerduty-all")
        assert [what for _, what, _ in install("freight", OWNERS, said)] == ["made"] * 3
        assert [what for _, what, _ in install("freight", OWNERS, said)] == ["unchanged"] * 3
        assert [what for _, what, _ in install("freight", OWNERS, Monitors(handle="@slack-x"))] == ["updated"] * 3
        assert len(datadog.monitors) == 3
        assert site.requests[0].headers["dd-api-key"] == "a" * 32
    failed, late, silent = datadog.monitors.values()
    assert '.by("env","target","dag","node","owner")' in failed["query"]
    assert "by {env,dag,owner}" in late["query"]
    assert silent["options"]["notify_no_data"] is True
    assert all("managed-by:dbt-flow" in monitor["tags"] for monitor in datadog.monitors.values())


def test_handles_follow_the_owner() -> None:
    text = handles(OWNERS, None)
    assert '{{#is_exact_match "owner.name" "safety"}}@pagerduty-safety{{/is_exact_match}}' in text
    assert '{{^is_exact_match "owner.name" "safety"}}@pagerduty-{{owner.name}}{{/is_exact_match}}' in text


@pytest.mark.usefixtures("keys")
def test_datadog_down_or_without_a_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATADOG_HOST", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="Datadog did not take the monitors"):
        install("freight", OWNERS, Monitors())
    monkeypatch.delenv("DD_APP_KEY")
    with pytest.raises(InputError, match="the variable DD_APP_KEY is not set"):
        install("freight", OWNERS, Monitors())
    monkeypatch.setattr(channels, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(InputError, match="datadog_api_client is not installed") as caught:
        install("freight", OWNERS, Monitors())
    assert caught.value.hint == "pip install 'dbt-flow[datadog]'"


@pytest.mark.usefixtures("keys")
def test_without_an_agent_metrics_go_to_the_api_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    mine = rules(metrics={"api": True})
    with web(Datadog()) as site:
        monkeypatch.setenv("DATADOG_HOST", site.url)
        agentless.leave(store, failing(), mine, measure(mine, PLAN, failing(), Around()))
        assert agentless.send_left(store) is None
        paths = [request.path.partition("?")[0] for request in site.requests]
        assert paths == ["/api/v2/series", "/api/v1/check_run", "/api/v1/events"]
        series = body_of(site.requests[0])["series"]
        assert {"dbt_flow.dag.runs", "dbt_flow.node.failures"} <= {one["metric"] for one in series}
        assert agentless.send_left(store) is None
        assert len(site.requests) == 3
        site.answer = lambda _: (500, {}, {})
        agentless.leave(store, failing(2), mine, measure(mine, PLAN, failing(2), Around()))
        assert "Datadog's API" in (agentless.send_left(store) or "")
        assert store.list(agentless.FOLDER) == []
