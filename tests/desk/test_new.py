"""``dbt-flow new``: what the project suggests, with dbt's own counts; a file that is good before it is there."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from projects import write

from dbt_flow.cli import main
from dbt_flow.settings import load_settings
from dbt_flow.spec import load_dag, load_fleet

TEAMS = "owners: {ours: {}, theirs: {}}\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five models in two folders, tags, a group with an owner, a selector; one DAG takes the staging folder."""
    grouped = "{{ config(group='money', tags=['daily']) }}"
    return write(
        tmp_path_factory.mktemp("new") / "store",
        {
            "seeds/numbers.csv": "id\n1\n",
            "models/staging/a.sql": "select id from {{ ref('numbers') }}",
            "models/staging/b.sql": "{{ config(tags=['daily', 'odd']) }} select id from {{ ref('a') }}",
            "models/marts/risk/c.sql": f"{grouped} select id from {{{{ ref('a') }}}}",
            "models/marts/risk/d.sql": f"{grouped} select id from {{{{ ref('c') }}}}",
            "models/marts/e.sql": "{{ config(materialized='ephemeral') }} select id from {{ ref('d') }}",
            "models/schema.yml": {
                "groups": [{"name": "money", "owner": {"name": "ours", "email": "x@example.com"}}],
                "models": [{"name": "c", "columns": [{"name": "id", "data_tests": ["not_null", "unique"]}]}],
            },
            "selectors.yml": {"selectors": [{"name": "nightly", "definition": {"method": "tag", "value": "daily"}}]},
            "dbt_flow.yml": TEAMS,
            "dags/staging.yaml": "owner: ours\nselect: path:models/staging\n",
        },
    )


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def test_proposals_are_counted_by_dbt(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["proposals"]
    told = {row.get("select") or row["selector"]: (row["kind"], row["models"], row["tests"], row["in_no_dag"]) for row in rows}
    assert told == {
        "package:this": ("project", 5, 2, 3),
        "nightly": ("selector", 3, 2, 2),
        "group:money": ("group", 2, 2, 2),
        "tag:daily": ("tag", 3, 2, 2),
        "tag:odd": ("tag", 1, 0, 0),
        "path:models/staging": ("folder", 2, 0, 0),
        "path:models/marts": ("folder", 2, 2, 2),
        "path:models/marts/risk": ("folder", 2, 2, 2),
    }


def test_flags_make_a_file_that_is_good(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--select", "tag:daily", "--exclude", "b", "--after", "staging", "--owner", "theirs", "--done-by", "07:00"]
    try:
        assert main(["new", "money", *words]) == 0
        assert "money: 2 models, 2 tests" in capsys.readouterr().out
        settings = load_settings(start=here, environ={})
        assert load_fleet(settings).errors == ()
        dag = load_dag(settings, "money")
        assert (dag.owner, dag.select, dag.exclude, dag.done_by) == ("theirs", ("tag:daily",), ("b",), "07:00")
        assert dag.trigger.text == "after staging"
        text = (here / "dags/money.yaml").read_text(encoding="utf-8")
        assert text.splitlines()[0] == "# yaml-language-server: $schema=.schema.json"
        assert (here / "dags/.schema.json").is_file()
        assert main(["new", "money", "--select", "a", "--owner", "ours"]) == 2
        assert "is there already" in capsys.readouterr().err
        assert (here / "dags/money.yaml").read_text(encoding="utf-8") == text
    finally:
        (here / "dags/money.yaml").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--select", "tag:nope", "--owner", "ours"), "the selection of x is empty"),
        (("--select", "tagg:daily", "--owner", "ours"), "dags/x.yaml:3:9: "),
        (("--select", "a", "--owner", "us"), 'no owner is named "us"'),
        (("--select", "a"), "say --owner TEAM: ours, theirs"),
        (("--select", "a", "--owner", "ours", "--after", "stagin"), "did you mean staging?"),
        (("--select", "a", "--owner", "ours", "--schedule", "0 6"), "five fields"),
        (("--select", "a", "--schedule", "0 6 * * *", "--event", "y"), "--schedule and --event: one thing starts a DAG"),
        (("--selector", "nightly", "--select", "a"), "--selector goes alone"),
        ((), "say it: --select SELECTION"),
    ],
)
def test_what_is_not_good_is_refused_and_leaves_no_file(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert main(["new", "x", *words]) == 2
    assert told in capsys.readouterr().err
    assert sorted(path.name for path in (here / "dags").glob("*.yaml")) == ["staging.yaml"]


def test_a_dry_run_shows_the_file_and_writes_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--selector", "nightly", "--owner", "ours", "--schedule", "0 6 * * *", "--timezone", "Europe/Berlin", "--dry-run"]
    assert main(["new", "risk/money", *words]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "# yaml-language-server: $schema=../.schema.json",
        "owner: ours",
        "timezone: Europe/Berlin",
        "trigger: {schedule: 0 6 * * *}",
        "selector: nightly",
    ]
    assert sorted(path.name for path in (here / "dags").rglob("*.yaml")) == ["staging.yaml"]


def test_on_a_terminal_it_asks(here: Path) -> None:
    """A real terminal, with somebody who answers: the group, its proposed name and owner, six o'clock."""
    try:
        told = talk(here, ["3", "", "", "06:00"])
        assert "What should it build?" in told
        dag = load_dag(load_settings(start=here, environ={}), "money")
        assert (dag.owner, dag.select, dag.trigger.text) == ("ours", ("group:money",), load_trigger_text("0 6 * * *"))
    finally:
        (here / "dags/money.yaml").unlink(missing_ok=True)


def load_trigger_text(cron: str) -> str:
    from dbt_flow.spec.trigger import Trigger  # noqa: PLC0415

    return Trigger.model_validate({"schedule": cron}).text


def talk(folder: Path, answers: list[str]) -> str:
    """Run ``dbt-flow new`` on a terminal of its own, and answer each question as it comes."""
    ours, theirs = pty.openpty()
    environment: dict[str, Any] = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-m", "dbt_flow", "new"]
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True)
    os.close(theirs)
    told, answered, until = "", 0, time.monotonic() + 120
    try:
        while time.monotonic() < until:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    told += os.read(ours, 65536).decode("utf-8", "replace")
                except OSError:  # the other side has gone
                    break
            if answered < len(answers) and told.count("]: ") > answered:
                os.write(ours, f"{answers[answered]}\n".encode())
                answered += 1
        assert process.wait(60) == 0, told
        return told
    finally:
        process.kill()
        process.wait()
        os.close(ours)
