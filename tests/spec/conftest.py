"""A root to write DAG files into, and the CLI in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spec_root import Root

from dbt_flow.cli import main


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that the tests run on."""
    for name in ("ROOT", "PROJECT_DIR", "PROFILES_DIR", "STATE", "DAGS", "PROJECT"):
        monkeypatch.delenv(f"DBT_FLOW_{name}", raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


@pytest.fixture
def cli(root: Root, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """One command line in ``root``: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--root", str(root.folder), *words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def cli_json(cli: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, Any]]:
    """The same with --json: exit code, document."""

    def run(*words: str) -> tuple[int, Any]:
        code, out, _ = cli(*words, "--json")
        return code, json.loads(out)

    return run
