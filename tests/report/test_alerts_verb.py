"""``dbt-flow alerts``: what it prints, and its exit codes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from told_runs import PLAN, failing, rules
from udp_listeners import web

from dbt_flow.cli import main
from dbt_flow.report.alerts import news
from dbt_flow.report.outbox import Outbox
from dbt_flow.state.store import FolderStore


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: freight\n")
    (tmp_path / "dbt_flow.yml").write_text("owners: {carriers: {webhook: HOOK_CARRIERS}}\ndbt_projects: [.]\n")
    (tmp_path / "dags/risk.yaml").write_text("owner: carriers\nselect: x\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_test(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "test", "risk"]) == 1
    assert capsys.readouterr().out == "apprise through HOOK_CARRIERS: the variable HOOK_CARRIERS is not set\n"
    with web(lambda _: (200, {}, {})) as site:
        monkeypatch.setenv("HOOK_CARRIERS", site.url)
        assert main(["alerts", "test", "risk"]) == 0
    assert capsys.readouterr().out == "apprise through HOOK_CARRIERS: taken\n"
    (root / "dbt_flow.yml").write_text("owners: {carriers: }\ndbt_projects: [.]\n")
    assert main(["alerts", "test", "risk"]) == 1
    assert "risk tells nobody" in capsys.readouterr().err


def test_flush(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    messages = news(rules(page="off"), PLAN, failing(), ()).messages
    Outbox(FolderStore(root / ".dbt_flow")).put(messages)
    monkeypatch.setattr("dbt_flow.report.outbox.NOTICE_LASTS", timedelta(days=100_000))
    assert main(["alerts", "flush"]) == 1
    told = capsys.readouterr()
    assert told.out == "0 sent, 1 waiting\n"
    assert told.err == "  HOOK_CARRIERS: the variable HOOK_CARRIERS is not set\n"
    with web(lambda _: (200, {}, {})) as site:
        monkeypatch.setenv("HOOK_CARRIERS", site.url)
        assert main(["alerts", "flush", "--json"]) == 0
    assert '"sent": 1' in capsys.readouterr().out


@pytest.mark.usefixtures("root")
def test_install_without_datadog(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "install"]) == 2
    assert "write alerts: {datadog: true}" in capsys.readouterr().err
