"""``tell_others()`` on bad days: a second at the most, nothing raised, one warning, no page lost; runs nobody told of."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from told_runs import PLAN, failing, refused, rules, run
from udp_listeners import udp_agent

from dbt_flow.pipeline.settle import settle_dead
from dbt_flow.records import RunResult
from dbt_flow.report import sender, telling
from dbt_flow.report.messages import Message, Route
from dbt_flow.report.news_kept import open_incidents, remember_rules
from dbt_flow.report.outbox import NotSent, Outbox
from dbt_flow.report.rules import Rules
from dbt_flow.report.telling import tell_all_untold, tell_others
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import FolderStore

BUSY = 20.0
"""Seconds that a second may be on a machine with much else to do; what would be waited out takes longer."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    """A state folder; senders are counted and not started."""
    monkeypatch.setattr(sender, "start", lambda _: None)
    monkeypatch.setattr(telling, "_UNTOLD_FOR", timedelta(days=100_000))  # the runs of these tests have fixed dates
    return FolderStore(tmp_path / "state")


def recorded(store: FolderStore, result: RunResult, said: Rules) -> RunRecord:
    """A run that was settled, as its own process leaves it."""
    record = RunRecord(store, RunRef(result.target, result.dag, result.run.rpartition("/")[2]))
    record.begin_attempt(0, {"telling": said.to_dict(), "run": result.run, "flow": result.flow})
    record.put("plan.json", PLAN.to_dict())
    record.settle(result)
    return record


def tell(store: FolderStore, result: RunResult, said: Rules | None = None, **more: object) -> float:
    said = said or rules()
    record = recorded(store, result, said)
    began = time.monotonic()
    tell_others(record, PLAN if result.nodes else None, result, {"telling": said.to_dict()}, **more)  # type: ignore[arg-type]
    return time.monotonic() - began


def waiting(store: FolderStore) -> list[tuple[str, str]]:
    return [(message.action, message.route.variable) for message in Outbox(store).waiting()]


def test_pages_are_on_the_disk_before_anybody_sends(store: FolderStore) -> None:
    tell(store, failing())
    assert waiting(store) == [("trigger", "PD_CARRIERS"), ("notice", "HOOK_CARRIERS")]
    assert [incident.nodes for incident in open_incidents(store, "prod", "risk")] == [("test.f.stg_id",)]
    tell(store, run(2, 7))
    assert [action for action, _ in waiting(store)] == ["trigger", "notice", "resolve", "resolve"]
    assert open_incidents(store, "prod", "risk") == ()


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """Takes connections and never reads, nor answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener


@pytest.mark.parametrize(
    "environ",
    [
        {"DD_DOGSTATSD_URL": "udp://127.0.0.1:9"},
        {"DD_DOGSTATSD_URL": "unix:///nowhere"},
        {"DD_DOGSTATSD_URL": "nonsense"},
        {"DD_AGENT_HOST": "no-such-host.invalid"},
        {"DD_AGENT_HOST": "127.0.0.1", "DD_DOGSTATSD_PORT": "nonsense"},
        {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "DD_AGENT_HOST": "127.0.0.1"},
    ],
)
def test_an_outage_costs_no_second_and_no_page(
    store: FolderStore, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    result = failing()
    assert tell(store, result, own=True) < BUSY
    assert len(waiting(store)) == 2
    assert RunRecord(store, RunRef("prod", "risk", "1")).result() == result


def test_a_socket_that_nobody_reads_costs_no_second(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "full.socket"))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        monkeypatch.setenv("DD_DOGSTATSD_URL", f"unix://{tmp_path / 'full.socket'}")
        assert tell(store, failing()) < BUSY


def test_a_resolver_that_hangs_costs_no_second(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_AGENT_HOST", "slow.example")
    over = threading.Event()
    monkeypatch.setattr(telling.statsd, "send", lambda *_: over.wait(300))
    tell(store, failing())
    hanging = [thread for thread in threading.enumerate() if thread.name == "dbt-flow-metrics"]
    over.set()
    assert hanging, "the run went on while the resolver hung"
    assert telling._METRICS_WITHIN < 1
    hanging[0].join()


def test_one_warning_that_says_what_is_missing(store: FolderStore, capsys: pytest.CaptureFixture[str]) -> None:
    tell(store, failing())
    said = capsys.readouterr().err.splitlines()
    assert said == ["dbt-flow: warning: the variable PD_CARRIERS is not set; the variable HOOK_CARRIERS is not set"]
    tell(store, run(3, 9))
    capsys.readouterr()
    outbox = Outbox(store)
    outbox.flush(refuse)
    tell(store, run(4, 10))
    (line,) = capsys.readouterr().err.splitlines()
    assert "earlier messages wait to be sent: down (see: dbt-flow alerts flush)" in line


def refuse(_: Message) -> None:
    raise NotSent("down")


def test_a_disk_that_says_no_breaks_nothing(store: FolderStore, capsys: pytest.CaptureFixture[str]) -> None:
    record = recorded(store, failing(), rules())
    (store.folder / "outbox").write_text("a file where a folder should be")
    tell_others(record, PLAN, failing(), {"telling": rules().to_dict()})
    assert "nobody could be told" in capsys.readouterr().err


def test_metrics_are_sent_and_shown(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    with udp_agent() as agent:
        monkeypatch.setenv("DD_DOGSTATSD_URL", agent.address)
        tell(store, failing(), hear=heard.append, own=True)
        assert any(line.startswith("dbt_flow.dag.cpu:") for line in agent.lines())
    assert any(line.startswith("dbt_flow.dag.runs 1 count project:freight dag:risk") for line in heard)
    monkeypatch.delenv("DD_DOGSTATSD_URL")
    heard.clear()
    tell(store, run(2), hear=heard.append)
    assert heard  # shown, also when nobody is sent them


def test_a_run_between_record_and_telling_is_told_by_the_next(store: FolderStore) -> None:
    recorded(store, failing(1), rules())
    assert waiting(store) == []
    tell(store, failing(2, 7))
    assert [message.run for message in Outbox(store).waiting()].count("Risk/1") == 2


def test_or_by_flush_and_once(store: FolderStore) -> None:
    recorded(store, failing(1), rules())
    assert tell_all_untold(store) == 1
    assert tell_all_untold(store) == 0


def test_what_ended_long_ago_is_no_news(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_UNTOLD_FOR", timedelta(0))
    recorded(store, failing(1), rules())
    assert tell_all_untold(store) == 0


def test_an_old_failure_is_not_opened_after_the_run_that_mended_it(store: FolderStore) -> None:
    recorded(store, failing(1), rules())
    tell(store, run(2, 7))
    assert [action for action, _ in waiting(store)] == ["trigger", "notice", "resolve", "resolve"]
    assert open_incidents(store, "prod", "risk") == ()


def test_a_run_that_died_before_it_wrote_a_word_is_told_by_the_rules_of_its_dag(store: FolderStore) -> None:
    remember_rules(store, "risk", rules().to_dict())
    result = settle_dead(store, "risk", "9", "Risk")
    assert result is not None
    assert result.status == "failed"
    (page, _) = Outbox(store).waiting()
    assert page.dedup.endswith("/risk/run")
    assert "its process died before dbt had said what there is to build" in page.title


def test_a_run_that_was_refused_is_told(store: FolderStore) -> None:
    tell(store, refused())
    assert Outbox(store).waiting()[0].route == Route("pagerduty", "PD_DEFAULT")


def test_without_rules_nothing_is_told(store: FolderStore) -> None:
    record = recorded(store, failing(), Rules())
    tell_others(record, PLAN, failing(), {})
    assert waiting(store) == []
