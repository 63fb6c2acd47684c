"""Tasks as forks of a warm process: what Metaflow sees of them is what it would see of processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from shop import Shop, open_shop

from dbt_flow.flows.forking import differs
from dbt_flow.flows.warm import VARIABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="warm processes are for Linux")

FLOW_FILE = """
import os, signal, subprocess, sys
from dbt_flow.flows import forking, warm
forking._imports = lambda: None
warm.begin()
launcher = os.getpid()
warm.imported()
if warm.command() == "run":
    environment = {**os.environ, **dict(word.split("=") for word in sys.argv[4:])}
    task = subprocess.run(
        [sys.executable, "-u", sys.argv[0], "step", *sys.argv[2].split(maxsplit=1)],
        cwd=sys.argv[3], env=environment, input="in", capture_output=True, text=True
    )
    warm.end()
    print(task.returncode, task.stdout, task.stderr, sep="|", end="")
else:
    def work():
        print(os.environ.get("SAID"), os.getcwd(), sys.stdin.read(), "process" if os.getpid() == launcher else "fork", end="")
        exec(sys.argv[3])
    warm.leave_after(work)
"""


@pytest.fixture(params=["end", "start"])
def step(request: pytest.FixtureRequest) -> str:
    """Of the last one the task is the warm process itself, of others a fork of it."""
    return str(request.param)


def task(tmp_path: Path, step: str, code: str, *environment: str, **launchers: str) -> list[str]:
    """What the launcher sees of a task that runs a line of code: its exit code, its output, its errors."""
    file = tmp_path / "flow.py"
    file.write_text(FLOW_FILE)
    (tmp_path / "there").mkdir(exist_ok=True)
    words = [sys.executable, str(file), "run", f"{step} {code}", str(tmp_path / "there"), *environment]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **launchers}, timeout=120, check=True)
    return done.stdout.split("|")


def test_a_fork_has_streams_folder_and_environment_of_the_task(tmp_path: Path, step: str) -> None:
    code, out, err = task(tmp_path, step, "print('oh', file=sys.stderr)", "SAID=yes")
    assert (code, out, err) == ("0", f"yes {tmp_path / 'there'} in fork", "oh\n")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("sys.exit(7)", 7),
        ("sys.exit('no')", 1),
        ("sys.exit(-2)", 254),
        ("sys.exit()", 0),
        ("os._exit(9)", 9),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("os.abort()", -6),
        ("raise ValueError", 1),
    ],
)
def test_the_task_ends_as_its_fork_does(tmp_path: Path, step: str, line: str, code: int) -> None:
    assert task(tmp_path, step, line)[0] == str(code)


def test_another_environment_for_imports_is_no_fork(tmp_path: Path, step: str) -> None:
    assert "in process" in task(tmp_path, step, "0", "METAFLOW_DEFAULT_DATASTORE=elsewhere")[1]
    assert "in process" in task(tmp_path, step, "0", **{VARIABLE: "off"})[1]
    assert not differs({"HOME": "a", "METAFLOW_RUN_ID": "1"}, {"METAFLOW_RUN_ID": "2", "DBT_FLOW_FEED": "x"})
    assert differs({"DBT_TARGET": "a"}, {})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(
        tmp_path_factory.mktemp("shop"), dags={"plain": {"select": "+slow", "exclude": "test_name:relationships"}}
    )
    yield opened
    opened.close()


def test_with_and_without_the_results_are_the_same(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    warm = shop.run("plain")
    monkeypatch.setenv(VARIABLE, "off")
    cold = shop.run("plain")
    statuses = [{node["id"]: node["status"] for node in ran.json["nodes"]} for ran in (warm, cold)]
    assert statuses[0] == statuses[1]
    assert warm.code == cold.code == 0


@pytest.mark.parametrize("whom", ["the task that Metaflow sees", "its warm process"])
def test_when_one_of_them_is_killed_so_is_the_task(tmp_path: Path, step: str, whom: str) -> None:
    told = tmp_path / "pid"
    find = {
        "the task that Metaflow sees": "next(p for p in launcher_of(me).children() if 'step' in p.cmdline())",
        "its warm process": "me if me.parent() == launcher_of(me) else me.parent()",
    }[whom]
    code = (
        "import pathlib, psutil, time; me = psutil.Process(); "
        "launcher_of = lambda it: next(p for p in it.parents() if 'run' in p.cmdline()); "
        f"pathlib.Path({str(told)!r}).write_text(str(me.pid)); ({find}).kill(); time.sleep(100)"
    )
    assert task(tmp_path, step, code)[0] in ("-9", "1")
    until = time.monotonic() + 30
    while psutil.pid_exists(int(told.read_text())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(told.read_text()))


def test_a_run_whose_task_is_killed_is_told(shop: Shop) -> None:
    shop.control("slow", sleep=60)
    started = shop.start(*shop.command("plain"))
    built = started.builds("slow", "plain")
    assert built.step.ppid() == built.launcher.pid, "the only task is the warm process itself"
    built.step.send_signal(signal.SIGKILL)
    ran = started.end()
    assert (ran.code, ran.json["status"]) == (1, "failed")
    assert shop.none_left(within=6) == []
    assert ran.node("customers")["status"] == "success"
