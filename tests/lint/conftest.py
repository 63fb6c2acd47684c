from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lint_ground import Ground


@pytest.fixture(scope="session")
def ground_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: dbt then parses only what a test changes."""
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture
def ground(ground_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    for path in [*ground_folder.iterdir(), *ground_folder.glob(".dbt_flow/*")]:
        if path.is_file():
            path.unlink()
        elif path.name not in (".dbt_flow", "parse"):
            shutil.rmtree(path)
    return Ground(ground_folder, capsys)
