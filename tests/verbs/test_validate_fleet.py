"""``validate`` over a whole fleet: one bad file is one error, and whoever waits for its DAG is not at fault."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dbt_flow.cli import main

ROOT = Path(__file__).parents[2]


def test_a_bad_file_is_not_held_against_who_waits_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("dags", "training"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "dbt_flow.yml", tmp_path)
    (tmp_path / "dbt_project").mkdir()
    shutil.copy(ROOT / "dbt_project" / "dbt_project.yml", tmp_path / "dbt_project")
    bad = tmp_path / "dags" / "carrier_safety.yaml"
    bad.write_text(bad.read_text(encoding="utf-8").replace("selector:", "selecter:"), encoding="utf-8")
    assert main(["--root", str(tmp_path), "validate", "--json"]) == 2
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert [(error["code"], error["file"]) for error in errors] == [("unknown-key", "dags/carrier_safety.yaml")]
