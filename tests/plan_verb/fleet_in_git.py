"""A tiny fleet in a git repository: two DAGs over five models, and a way to ask what a change to it does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt_flow.cli import main

FILES: Mapping[str, Any] = {
    "seeds/numbers.csv": "id,value\n1,10\n2,20\n",
    "macros/twice.sql": "{% macro twice(column) %}{{ column }} * 2{% endmacro %}\n",
    "models/stage.sql": "{{ config(tags=['daily']) }}\nselect id, value\nfrom {{ ref('numbers') }}\n",
    "models/orders.sql": "{{ config(tags=['daily']) }}\nselect id, {{ twice('value') }} as value\nfrom {{ ref('stage') }}\n",
    "models/totals.sql": "{{ config(materialized='table', tags=['daily']) }}\nselect sum(value) as total\n"
    "from {{ ref('orders') }}\n",
    "models/board.sql": "{{ config(tags=['hourly']) }}\nselect total\nfrom {{ ref('totals') }}\n",
    "models/loose.sql": "select 1 as one\n",
    "models/schema.yml": """models:
  - name: orders
    columns:
      - name: id
        data_tests:
          - unique
  - name: board
    columns:
      - name: total
        data_tests:
          - not_null
""",
    "dags/daily.yaml": 'owner: ann\ntrigger:\n  schedule: "0 6 * * *"\ndone_by: "07:00"\nselect: tag:daily\n',
    "dags/hourly.yaml": "owner: bob\ntrigger: {after: daily}\nselect: tag:hourly\n",
    "dbt_flow.yml": "owners:\n  ann: {email: ann@example.com}\n  bob: {email: bob@example.com}\n",
    ".gitignore": ".dbt_flow/\ntarget/\nlogs/\n",
}


@dataclass
class Desk:
    """The repository, and the front door."""

    folder: Path
    captured: Callable[[], tuple[str, str]]

    def git(self, *words: str) -> str:
        """One git command in it."""
        who = ["-c", "user.name=tester", "-c", "user.email=tester@example.com", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", "-C", str(self.folder), *who, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    def put(self, file: str, old: str, new: str) -> None:
        """Replace text in a file; the old text must be there."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def ask(self, *words: str) -> tuple[int, str, str]:
        """``dbt-flow``: exit code, stdout, stderr."""
        self.captured()
        code = main(["--root", str(self.folder), *words])
        return (code, *self.captured())

    def changes(self, *words: str, base: str = "HEAD") -> dict[str, Any]:
        """What ``plan --base`` says, as JSON."""
        code, out, err = self.ask("plan", *words, "--base", base, "--json")
        assert code == 0, err
        document: dict[str, Any] = json.loads(out)
        return document
