"""The verb: what it prints, its exit codes, files that cannot be read, the example's fleet, the hook for pre-commit."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from lint_ground import DAGS, Ground

from dbt_flow.cli import VERBS, main
from dbt_flow.plan.lint.rulebook import RULES
from dbt_flow.project import parsing
from dbt_flow.project.seams import invocation

ROOT = Path(__file__).parents[2]
TWICE = "owner: data\ntrigger: {after: facts}\nselect: facts report\n"


def test_the_document_has_the_findings_and_nothing_else(ground: Ground) -> None:
    ground.dag("report", TWICE)
    document = ground.document()
    assert list(document) == ["findings"]
    [found] = document["findings"]
    assert list(found) == ["code", "severity", "file", "line", "message", "why", "fix"]
    assert found["why"] == RULES["built-twice"].why


def test_exit_codes(ground: Ground) -> None:
    assert ground.run()[0] == 0
    ground.dag("report", TWICE)
    assert ground.run()[0] == 1
    ground.dag("base", "ownr: data\n")
    assert ground.run()[0] == 2


def test_a_bad_file_is_an_error_and_the_others_are_linted(ground: Ground) -> None:
    ground.dag("report", TWICE)
    ground.dag("base", "owner: data\ntriger: x\n")
    document = ground.document()
    assert [(one["code"], one["file"], one["line"]) for one in document["errors"]] == [("unknown-key", "dags/base.yaml", 2)]
    assert [one["code"] for one in document["findings"]] == ["built-twice"], "what base builds is not said to be in no DAG"
    assert "dags/base.yaml cannot be read" in ground.run("--json")[2]


def test_a_selection_that_dbt_refuses_is_an_error(ground: Ground) -> None:
    ground.dag("report", "owner: data\ntrigger: {after: facts}\nselect: no_such_method:x\n")
    document = ground.document()
    assert [(one["code"], one["file"], one["line"]) for one in document["errors"]] == [("dbt-selector", "dags/report.yaml", 3)]


def test_a_project_that_does_not_parse_is_an_error(ground: Ground) -> None:
    ground.dbt("models/report.sql", "select * from {{ ref('nowhere') }}\n")
    document = ground.document()
    assert [one["code"] for one in document["errors"]] == ["dbt-parse"]
    assert document["findings"] == []


def test_text_is_grouped_by_file_and_ends_with_what_to_type(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    ground.dbt("models/lost.sql", "select 1 as id\n")
    ground.dag("report", TWICE)
    _, out, _ = ground.run()
    lines = out.splitlines()
    assert max(map(len, lines)) <= 60
    assert [line for line in lines if line and not line.startswith(" ") and "/" in line.split()[0]] == [
        "dags/report.yaml",
        "store/models/lost.sql",
    ]
    assert "\x1b" not in out
    assert "3 DAGs: 2 findings (1 error, 1 warning) in 2 files" in lines
    assert "\nNext: " in out


def test_colour_on_a_terminal_only(ground: Ground) -> None:
    ground.dag("report", TWICE)
    seen, there = pty.openpty()
    words = [sys.executable, "-m", "dbt_flow", "--root", str(ground.folder), "lint"]
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    with subprocess.Popen(words, stdout=there, stderr=subprocess.DEVNULL, env=env) as process:
        os.close(there)
        said = b""
        try:
            while chunk := os.read(seen, 65536):
                said += chunk
        except OSError:  # the other end is closed
            pass
        os.close(seen)
        process.wait(120)
    assert b"\x1b[31m" in said
    assert b"built-twice" in said


def test_one_parse_for_the_fleet(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ask = invocation.ask
    monkeypatch.setattr(parsing.invocation, "ask", lambda words, manifest=None: asked.append(words[0]) or ask(words, manifest))
    for number in range(10):
        ground.dag(f"more_{number}", "owner: data\ntrigger: none\nselect: state:modified\n")
    assert ground.findings() == []
    assert asked == ["parse"]


def test_the_rules_are_shown_with_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--rules", "--json"]) == 0
    rules = json.loads(capsys.readouterr().out)["rules"]
    assert {rule["code"] for rule in rules} == set(RULES)
    assert main(["lint", "--rules"]) == 0
    out = capsys.readouterr().out
    assert all(code in out for code in RULES)


def test_the_example_lints_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("dags", "training", "dbt_project"):
        skip = shutil.ignore_patterns("*.duckdb*", "target", "logs", "data", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skip)
    shutil.copy(ROOT / "dbt_flow.yml", tmp_path)
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    code = main(["--root", str(tmp_path), "lint", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert (code, document) == (0, {"findings": []})


def test_the_hooks_call_verbs_that_are_there() -> None:
    hooks = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))}
    assert set(hooks) == {"dbt-flow-validate", "dbt-flow-lint"}
    for hook in hooks.values():
        program, verb, *flags = shlex.split(hook["entry"])
        assert (program, verb in VERBS, hook["pass_filenames"]) == ("dbt-flow", True, False)
        assert flags == []
        assert {"name", "description", "language", "files"} <= set(hook)
        assert re.search(hook["files"], "dags/carrier_risk.yaml")
        assert re.search(hook["files"], "dbt_flow.yml")
        assert not re.search(hook["files"], "README.md")
    assert re.search(hooks["dbt-flow-lint"]["files"], "dbt_project/models/marts/fct_loads.sql")


def test_a_fleet_of_nothing(ground: Ground) -> None:
    """No DAG and no model: nothing to say."""
    for name in DAGS:
        (ground.folder / f"dags/{name}.yaml").unlink()
    shutil.rmtree(ground.folder / "store/models")
    shutil.rmtree(ground.folder / "store/seeds")
    (ground.folder / "store/models").mkdir()
    assert ground.findings() == []
