"""``docs/lint.md``: every rule has a section there, and each section's example has that finding, in those words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lint_ground import Ground

from dbt_flow.plan.lint.rulebook import RULES

PAGE = (Path(__file__).parents[2] / "docs/lint.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^### (\S+)\n(.*?)(?=^###? )", PAGE, re.S | re.M))


def files(text: str) -> dict[str, str]:
    """The files of the examples in a section; dbt's lie in the project."""
    blocks = re.findall(r"^```\w*\n(?:#|--) (\S+)\n(.*?)^```$", text, re.S | re.M)
    return {(name if name.startswith("dags/") or "/" not in name else f"store/{name}"): body for name, body in blocks}


def test_every_rule_has_its_section() -> None:
    assert list(SECTIONS) == list(RULES)


@pytest.mark.parametrize("code", SECTIONS)
def test_each_example_has_its_finding(ground: Ground, code: str) -> None:
    for name, text in files(SECTIONS[code]).items():
        ground.put(name, text)
    for dag, seconds in re.findall(r"<!-- runs: (\w+) (\d+) -->", SECTIONS[code]):
        ground.ran(dag, *(float(seconds),) * 3)
    told = [one["message"] for one in ground.findings() if one["code"] == code]
    quoted = re.findall(r"^> (.*)$", SECTIONS[code], re.M)
    assert told
    assert set(quoted) <= set(told)
    assert quoted or code == "clock-change", "its message names a day of the coming year"


def test_the_silences_that_are_shown_silence(ground: Ground) -> None:
    for name, text in files(PAGE.partition("\n## Silences")[2].partition("\n## ")[0]).items():
        ground.put(name, ground.text("dbt_flow.yml") + text if name == "dbt_flow.yml" else text)
    ground.dbt("models/lost.sql", "select 1 as id\n")
    assert ground.findings() == []
