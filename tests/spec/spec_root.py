"""A root to write DAG files into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.settings import Settings, load_settings
from dbt_flow.spec import Fleet, load_fleet


class Root:
    """A folder with a dbt_flow.yml, a dbt project and DAG files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("dbt_flow.yml", "owners: {team: {email: team@freight.example}}\n")
        self.write("dbt_project/dbt_project.yml", "name: Freight-Test\n")
        (folder / "dags").mkdir()

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def dag(self, name: str, text: str | bytes) -> Path:
        return self.write(f"dags/{name}.yaml", text)

    @property
    def settings(self) -> Settings:
        return load_settings(start=self.folder, environ={})

    def fleet(self) -> Fleet:
        return load_fleet(self.settings)

    def errors(self) -> list[tuple[Any, ...]]:
        return [flat(error) for error in self.fleet().errors]


def flat(error: DbtFlowError) -> tuple[Any, ...]:
    """(code, file, line, column)."""
    place = error.place
    return (error.code, place.file, place.line, place.column) if place else (error.code, None, None, None)
