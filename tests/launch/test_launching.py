"""Launching: the environment and command line of a flow's process, and a front door that is closed before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from shop import Shop, open_shop

from dbt_flow.launch import FLOW_FILE, Launch, Running, command_line, environment, forget, read_flow
from dbt_flow.settings import Flags, load_settings
from dbt_flow.state.leftovers import maker


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(tmp_path_factory.mktemp("shop"))
    yield opened
    opened.close()


def test_the_command_line_names_the_flow_file_and_the_dag() -> None:
    words = command_line(Path("/x/dags/shop.yaml"), ("run", "--as_of", "today"))
    assert words[:2] == [sys.executable, str(FLOW_FILE)]
    assert words[words.index("--config") :] == ["--config", "dag", "/x/dags/shop.yaml", "run", "--as_of", "today"]
    assert "--quiet" not in command_line(Path("x.yaml"), ("show",)), "what a person asked to see is not hidden"


def test_the_flow_has_a_user_where_the_system_has_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(Flags(project_dir=str(shop.folder)))
    for name in ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 12345)  # an id without a name, as containers have
    monkeypatch.setattr("getpass.getuser", _nobody)
    assert environment(settings, {})["METAFLOW_USER"] == "user12345"
    monkeypatch.setenv("USER", "ann")
    assert "METAFLOW_USER" not in environment(settings, {})


def _nobody() -> str:
    raise KeyError("getpwuid(): uid not found: 12345")


def test_the_environment_carries_what_the_command_line_said(shop: Shop) -> None:
    settings = load_settings(Flags(project_dir=str(shop.folder), state=str(shop.folder / "elsewhere")))
    found = environment(settings, {"DBT_FLOW_TARGET": "prod"})
    assert found["DBT_FLOW_STATE"] == str(shop.folder / "elsewhere")
    assert found["DBT_FLOW_PROJECT_DIR"] == str(shop.folder)
    assert found["DBT_FLOW_TARGET"] == "prod"


def test_a_dag_file_that_is_wrong_is_told_with_its_place(shop: Shop) -> None:
    shop.dag("wrong", select="*", retires=2)
    ran = shop.run("wrong")
    assert ran.code == 2
    [error] = ran.json["errors"]
    assert (error["code"], error["line"]) == ("unknown-key", 4)
    assert "retries" in error["hint"]
    assert "Traceback" not in ran.stderr
    assert not list(shop.state.glob("launches/*"))


def test_what_a_killed_watcher_left_is_swept_and_a_living_ones_is_not(shop: Shop) -> None:
    settings = load_settings(Flags(project_dir=str(shop.folder)))
    launches = shop.state / "launches"
    launches.mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    machine = maker().partition(".")[2]
    living, elsewhere = f"{child.pid}.{machine}-living", f"{2**22 + 1}.another-one"
    for name in (living, elsewhere, f"{2**22 + 1}.{machine}-dead"):
        (launches / name).mkdir()
        (launches / name / "feed.jsonl").touch()
    running = Running(Launch(shop.folder / "dags/none_of_that_name.yaml", ("run",), settings))
    try:
        assert {path.name for path in launches.iterdir()} == {living, elsewhere, running.folder.name}
        said = list(running.events())
        assert {event["event"] for event in said} <= {"tick"}
        assert running.run_id is None
        assert running.last_words(), "Metaflow, or the flow file, said why"
        assert running.process.returncode not in (0, None)
    finally:
        child.kill()
        child.wait()
        forget(running.folder)


def test_nothing_of_a_flow_that_is_read_outlives_who_reads_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C while a flow file is imported that has started a process itself."""
    slow, told = tmp_path / "slow.py", tmp_path / "pid"
    slow.write_text(
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(told)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        asked = False

        def wait(self, timeout: float | None = None) -> int:
            if not self.asked:
                self.asked = True
                until = time.monotonic() + 120
                while not (told.is_file() and told.read_text()) and time.monotonic() < until:
                    time.sleep(0.05)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_flow(slow, load_settings(Flags(project_dir=str(shop.folder))))
    child = int(told.read_text())
    until = time.monotonic() + 60
    while _runs(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_run_that_ignores_being_stopped_is_killed(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A flow file that takes no signal stands in for a process that hangs."""
    deaf = tmp_path / "deaf.py"
    deaf.write_text("import signal, time\nsignal.signal(2, signal.SIG_IGN)\nprint('here', flush=True)\ntime.sleep(600)\n")
    monkeypatch.setattr("dbt_flow.launch.FLOW_FILE", deaf)
    monkeypatch.setattr("dbt_flow.launch._STOP_WITHIN", 0.5)
    running = Running(Launch(shop.folder / "dags/shop.yaml", ("run",), load_settings(Flags(project_dir=str(shop.folder)))))
    for _ in running.events():
        if "here" in running.last_words():
            running.stop()
    assert running.stopped == "stopped by SIGINT"
    assert running.process.returncode == -9
    forget(running.folder)
