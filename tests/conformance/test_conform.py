"""The comparison of ``dbt build`` and ``dbt-flow run`` sees a difference where there is one, and none where there is none."""

from __future__ import annotations

from pathlib import Path

import conform
import pytest
from projects import random_project


def test_every_kind_of_difference_is_named() -> None:
    found = conform.compare({"a": "success", "b": "fail", "c": "pass"}, {"a": "success", "b": "warn", "d": "pass"})
    assert [str(difference) for difference in found] == [
        "b: dbt fail, dbt-flow warn",
        "c: dbt pass, dbt-flow did not plan it",
        "d: dbt did not run it, dbt-flow pass",
    ]


def test_a_copy_has_a_database_of_its_own(tmp_path: Path) -> None:
    project = random_project(tmp_path / "shop", 1, models=4)
    (project / "shop.duckdb").write_bytes(b"a database")
    (project / "target").mkdir()
    copy = conform.copy_project(project, None, tmp_path / "copy")
    assert (copy / "shop.duckdb").read_bytes() == b"a database"
    assert not (copy / "target").exists()


def test_a_project_with_failures_ends_the_same_on_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = random_project(tmp_path / "shop", 2, models=10, broken=True)
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    assert conform.main(["--project-dir", str(project), "--seed"]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert said.endswith("same\n")
    assert "skipped" in said
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before


def test_a_project_that_cannot_start_is_no_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = random_project(tmp_path / "shop", 2, models=4)
    (project / "models" / "broken.sql").write_text("select * from {{ ref('nothing') }}")
    assert conform.main(["--project-dir", str(project)]) == 2
    assert "nothing" in capsys.readouterr().err
