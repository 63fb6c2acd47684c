"""A tiny fleet that lints clean: three DAGs over one dbt project. Each test changes one thing and says what is found of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from projects import write

from dbt_flow.cli import main
from dbt_flow.records import RunResult, utc_text
from dbt_flow.state.history import remember
from dbt_flow.state.store import FolderStore

KEYS = {"code", "severity", "file", "line", "message", "why", "fix"}

SCHEMA = """
models:
  - {name: base, columns: [{name: id, data_tests: [not_null]}]}
  - {name: facts, columns: [{name: id, data_tests: [not_null]}]}
  - {name: report, columns: [{name: id, data_tests: [not_null]}]}
"""
FILES: Mapping[str, Any] = {
    "seeds/numbers.csv": "id,value\n1,10\n2,20\n",
    "models/base.sql": "select id, value from {{ ref('numbers') }}\n",
    "models/facts.sql": "select id, value from {{ ref('base') }}\n",
    "models/report.sql": "select id, value from {{ ref('facts') }}\n",
    "models/schema.yml": SCHEMA,
}
DAGS: Mapping[str, str] = {
    "base": 'owner: data\ntrigger: {schedule: "0 6 * * *"}\nselect: numbers base\n',
    "facts": "owner: data\ntrigger: {after: base}\nselect: facts\n",
    "report": "owner: data\ntrigger: {after: facts}\nselect: report\n",
}
SETTINGS = "dbt_projects: [store]\nowners: {data: {email: data@shop.example}}\n"


class Ground:
    """A root with the clean fleet."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        write(folder / "store", FILES)
        self.put("dbt_flow.yml", SETTINGS)
        for name, text in DAGS.items():
            self.dag(name, text)

    def put(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def dag(self, name: str, text: str) -> Path:
        return self.put(f"dags/{name}.yaml", text)

    def dbt(self, name: str, text: str) -> Path:
        return self.put(f"store/{name}", text)

    def text(self, name: str) -> str:
        return (self.folder / name).read_bytes().decode()

    def ran(self, dag: str, *seconds: float, at: str = "06:00", status: str = "success") -> None:
        """Runs on the last days, as their records are kept."""
        store, today = FolderStore(self.folder / ".dbt_flow"), datetime.now(timezone.utc).date()
        for ago, took in enumerate(seconds, 1):
            began = datetime.fromisoformat(f"{today - timedelta(days=ago)}T{at}:00+00:00")
            result = RunResult(dag, dag.title(), f"{dag.title()}/{ago}", status, "", "dev", utc_text(began), seconds=took)
            remember(store, "dev", dag, result)

    def run(self, *words: str) -> tuple[int, str, str]:
        """``dbt-flow lint``: exit code, stdout, stderr."""
        self.capsys.readouterr()
        code = main(["--root", str(self.folder), "lint", *words])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def document(self, *words: str) -> dict[str, Any]:
        code, out, err = self.run("--json", *words)
        document: dict[str, Any] = json.loads(out)
        assert code == (2 if "errors" in document else 1 if document["findings"] else 0), err
        return document

    def findings(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.document(*words)["findings"]
        assert all(set(finding) == KEYS for finding in found)
        return found

    def codes(self) -> list[str]:
        return sorted(finding["code"] for finding in self.findings())

    def only(self, code: str) -> dict[str, Any]:
        """The one finding that there is."""
        found = self.findings()
        assert [finding["code"] for finding in found] == [code], found
        return found[0]


@contextmanager
def changed(file: Path, old: str, new: str) -> Iterator[None]:
    """A file with one thing changed, and back."""
    before = file.read_text(encoding="utf-8")
    assert old in before
    file.write_text(before.replace(old, new), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")
