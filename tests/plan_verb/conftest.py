"""The tiny fleet of :mod:`fleet_in_git`, as it was committed before each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_in_git import FILES, Desk
from projects import write


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(tmp_path_factory.mktemp("desk") / "fleet", FILES)
    desk = Desk(folder, lambda: ("", ""))
    desk.git("init", "-q", "-b", "main")
    desk.git("add", "-A")
    desk.git("commit", "-q", "-m", "A fleet")
    return folder


@pytest.fixture
def desk(repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """As it was committed; whatever a test does to it is undone."""
    for name in [name for name in os.environ if name.startswith(("DBT_", "GIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")

    def captured() -> tuple[str, str]:
        found = capsys.readouterr()
        return found.out, found.err

    desk = Desk(repository, captured)
    yield desk
    assert not list(repository.glob(".dbt_flow/revisions/*/tree")), "the old state's files are gone"
    desk.git("checkout", "-q", "main")
    desk.git("reset", "-q", "--hard")
    desk.git("clean", "-fdq")
