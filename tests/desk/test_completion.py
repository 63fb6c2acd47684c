"""Completion as a shell asks for it: DAGs, runs, nodes, tags, parameters; without dbt, and silent whatever is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from projects import write

from dbt_flow.cli import main

CODE = """
import sys
from dbt_flow.cli import main
sys.argv = ["dbt-flow"]
code = main()
loaded = sorted({"dbt", "metaflow", "networkx"} & set(sys.modules))
sys.stdout.flush()
print("LOADED", code, loaded)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by dbt once, with a run of an earlier day."""
    folder = write(
        tmp_path_factory.mktemp("completion") / "store",
        {
            "models/fct_loads.sql": "{{ config(tags=['daily', 'dear'], group='money') }} select 1 as id",
            "models/fct_trips.sql": "select id from {{ source('raw', 'loads') }}",
            "models/schema.yml": {
                "groups": [{"name": "money", "owner": {"name": "us"}}],
                "sources": [{"name": "raw", "tables": [{"name": "loads"}]}],
            },
            "dbt_flow.yml": "",
            "dags/daily_loads.yaml": "owner: us\nselect: fct_loads\nparams:\n  as_of: {type: date, default: today}\n",
            "dags/broken.yaml": "owner: [",
        },
    )
    assert main(["--root", str(folder), "plan", "daily_loads", "--json"]) == 0
    run = folder / ".dbt_flow/runs/dev/daily_loads"
    for number in ("101", "102"):
        (run / number).mkdir(parents=True)
    return folder


def complete(folder: Path, *words: str) -> tuple[list[str], str]:
    """What is offered for the last word; and what was loaded for it."""
    line = {"_DBT_FLOW_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("dbt-flow", *words)), "COMP_CWORD": str(len(words))}
    environment = {**os.environ, **line, "DBT_FLOW_ROOT": ""}
    done = subprocess.run([sys.executable, "-c", CODE], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    *lines, last = done.stdout.splitlines()
    return [line.split(",", 1)[1] for line in lines if line], last


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("run", "d"), ["daily_loads"]),
        (("retry", "Dai"), ["DailyLoads/"]),
        (("card", "DailyLoads/"), ["DailyLoads/102", "DailyLoads/101"]),
        (("new", "--select", "fct_"), ["fct_loads", "fct_trips"]),
        (("new", "--select", "+fct_l"), ["+fct_loads"]),
        (("new", "--select", "tag:"), ["tag:daily", "tag:dear"]),
        (("new", "--select", "ta"), ["tag:"]),
        (("new", "--select", "fct_loads,group:m"), ["fct_loads,group:money"]),
        (("new", "--after", "da"), ["daily_loads"]),
        (("trace", "raw."), ["raw.loads"]),
        (("run", "daily_loads", "--param", ""), ["as_of="]),
        (("backfill", "daily_loads", "--from", "2026-01-01", "-p", "a"), ["as_of="]),
        (("completion", "z"), ["zsh"]),
        (("bac",), ["backfill"]),
        (("run", "--event-time-s"), ["--event-time-start"]),
    ],
)
def test_what_is_offered(project: Path, words: tuple[str, ...], offered: list[str]) -> None:
    found, loaded = complete(project, *words)
    assert found == offered
    assert loaded == "LOADED 0 []"


def test_it_is_silent_where_nothing_is_right(project: Path, tmp_path: Path) -> None:
    assert complete(tmp_path, "run", "")[0] == []  # no project at all
    assert complete(tmp_path, "card", "x/")[0] == []
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    (copy / "dbt_flow.yml").write_text("ownrs: {}\n")
    assert complete(copy, "run", "d")[0] == []
    (copy / "dbt_flow.yml").write_text("")
    (copy / ".dbt_flow/names").mkdir(exist_ok=True)
    for file in (copy / ".dbt_flow/names").iterdir():
        file.write_text("{")
    assert complete(copy, "new", "--select", "f")[0] == []
    assert complete(copy, "run", "broken", "-p", "")[0] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_for_a_shell_are_good(shell: str, capsys: pytest.CaptureFixture[str], project: Path) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "_DBT_FLOW_COMPLETE" in text
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    checked = subprocess.run([program, "-n"], input=text, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_with_them(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real shell calls the real program."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    main(["completion", "bash"])
    script = tmp_path / "load.sh"
    script.write_text(capsys.readouterr().out)
    program = tmp_path / "dbt-flow"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dbt_flow "$@"\n')
    program.chmod(0o755)
    words = 'COMP_WORDS=(dbt-flow new --select tag:d); COMP_CWORD=3; _dbt_flow_completion dbt-flow; echo "${COMPREPLY[@]}"'
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [bash, "-c", f"source {script}; {words}"], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["tag:daily", "tag:dear"]
