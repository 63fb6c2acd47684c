"""Of dbt-flow's own code a DAG's deployment is what its runs can reach, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dbt_flow.deploy import own_code

LOADED = """
import json, runpy, sys
import dbt_flow.pipeline.execute, dbt_flow.pipeline.isolated, dbt_flow.flows.dag
print(json.dumps([module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "dbt_flow"]))
"""


def test_what_a_task_loads_is_part_of_it_and_words_for_people_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = {Path(file) for file in json.loads(done.stdout)}
    reached = own_code.reached(own_code.PACKAGE)
    assert len(loaded) > 80 and loaded <= reached
    floors = {file.relative_to(own_code.PACKAGE).parts[0] for file in reached}
    assert {"run", "pipeline", "project", "flows"} <= floors and not {"cli", "serve", "deploy", "ml"} & floors
    names = {file.relative_to(own_code.PACKAGE).as_posix() for file in reached}
    assert "project/macros/in_dag.sql" in names and "pipeline/linting.py" not in names


@pytest.mark.parametrize(
    ("file", "matters"),
    [("cli/deploy.py", False), ("serve/intake.py", False), ("run/engine.py", True), ("project/macros/in_dag.sql", True)],
)
def test_a_change_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, matters: bool) -> None:
    copy = tmp_path / "dbt_flow"
    shutil.copytree(own_code.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(own_code, "PACKAGE", copy)
    before = own_code.own_code.__wrapped__()
    assert before == digest_here(monkeypatch), "wherever it is installed"
    (copy / file).write_text((copy / file).read_text() + "\n")
    assert (own_code.own_code.__wrapped__() != before) == matters


def digest_here(monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(own_code, "PACKAGE", Path(own_code.__file__).parents[1])
        return own_code.own_code.__wrapped__()
