"""Deliberate mistakes in DAG files and selections, each with the message it gets: ``docs/errors.md`` shows them to the letter.

``python tests/desk/test_mistakes.py`` writes the page's part anew, after a message has changed on purpose.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from projects import write

from dbt_flow.cli import main
from dbt_flow.errors import CODES

PAGE = Path(__file__).parents[2] / "docs/errors.md"
BEGIN, END = "## Mistakes, and what they get\n", "## Codes\n"
O = "owner: risk\n"  # noqa: E741 - the first line of each file that is not about owners

IN_YAML: Mapping[str, str] = {
    "misspelt_key": "ownr: risk\nselect: tag:daily\n",
    "misspelt_inside": O + 'trigger: {shedule: "0 6 * * *"}\nselect: tag:daily\n',
    "tab": O + "trigger:\n\tschedule: '0 6 * * *'\n",
    "bare_star": O + "trigger: {schedule: */5 * * * *}\n",
    "bare_colon": O + "description: loads: all of them\n",
    "written_twice": O + "select: tag:daily\nselect: tag:hourly\n",
    "nothing_there": O + "select:\n",
    "no_owner": "select: tag:daily\n",
    "unknown_team": "owner: rsk\nselect: tag:daily\n",
    "four_fields": O + 'trigger: {schedule: "0 6 * *"}\n',
    "never_comes": O + 'trigger: {schedule: "0 0 31 2 *"}\n',
    "small_letter": O + "timezone: Europe/berlin\nselect: tag:daily\n",
    "no_unit": O + "timeout: 90\nselect: tag:daily\n",
    "in_words": O + "retries: three\nselect: tag:daily\n",
    "too_many": O + "retries: 9\nselect: tag:daily\n",
    "half_a_time": O + "done_by: 7:00\nselect: tag:daily\n",
    "two_starts": O + 'trigger: {schedule: "0 6 * * *", after: good}\n',
    "misspelt_dag": O + "trigger: {after: goood}\nselect: tag:daily\n",
    "itself": O + "trigger: {after: itself}\nselect: tag:daily\n",
    "round_about": O + "trigger: {after: round_again}\nselect: tag:daily\n",
    "nobody_gives": O + 'trigger: {schedule: "0 6 * * *"}\nparams: {as_of: {type: date}}\n',
    "no_such_day": O + "params: {as_of: {type: date, default: 2026-02-30}}\n",
    "kept_name": O + "params: {start: {type: date, default: today}}\n",
    "other_name": O + "name: carrier_risk\n",
    "almost_a_word": O + "reuse: unchangd\nselect: tag:daily\n",
}
IN_SELECTIONS: Mapping[str, str] = {
    "no_such_tag": O + "select: tag:dayly\n",
    "no_such_folder": O + "select: path:models/mart\n",
    "no_such_model": O + "select: [fct_load, +fct_trip]\n",
    "all_left_out": O + "select: tag:daily\nexclude: fct_loads+\n",
    "unknown_method": O + "select: tagg:daily\n",
    "unknown_selector": O + "selector: nightli\n",
    "selector_and_select": O + "selector: nightly\nselect: tag:daily\n",
    "no_selection": O + "description: which models?\n",
    "empty_list": O + "select: []\n",
    "list_in_a_list": O + "select: [[tag:daily]]\n",
    "read_too_early": O + "select: early\nparams: {as_of: {type: date, default: today}}\n",
}
HELP = {"good": O + "select: tag:daily\n", "round_again": O + "trigger: {after: round_about}\nselect: tag:daily\n"}
"""Files without which some mistakes would be others."""


def root(folder: Path) -> Path:
    """A small project with all the files."""
    dags = {f"dags/{name}.yaml": text for name, text in {**IN_YAML, **IN_SELECTIONS, **HELP}.items()}
    files: dict[str, Any] = {
        "models/marts/fct_loads.sql": "{{ config(tags=['daily']) }} select 1 as id",
        "models/early.sql": "{{ config(alias='early_' ~ var('as_of', 'x')) }} select 1 as id",
        "selectors.yml": {"selectors": [{"name": "nightly", "definition": {"method": "tag", "value": "daily"}}]},
        "dbt_flow.yml": "owners: {risk: {email: risk@freight.example}}\n",
    }
    return write(folder, {**files, **dags})


def messages(folder: Path) -> dict[str, str]:
    """What ``dbt-flow validate --project`` says of each file."""
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["--root", str(root(folder)), "validate", "--project"]) == 2
    found: dict[str, str] = {}
    for text in re.split(r"^(?=error: |warning: |\d+ files?, )", out.getvalue().replace(f"{folder}/", ""), flags=re.M):
        said = re.match(r"error: (?:dags/(\w+)\.yaml|models/(\w+)\.sql)", text)
        if said:
            name = said[1] or {"early": "read_too_early"}[said[2]]
            found[name] = found.get(name, "") + text
    return found


def part(found: Mapping[str, str]) -> str:
    """The page's part."""
    lines = [
        BEGIN,
        "Each file with what `dbt-flow validate --project` says of it; a test holds the page to the words. The team is `risk`,",
        "there is a DAG named `good`, and the project has a model in `models/marts`, tagged `daily`.",
        "",
    ]
    for title, files in (("### In the YAML", IN_YAML), ("### In the selection", IN_SELECTIONS)):
        lines += [title, ""]
        for name, text in files.items():
            shown = text.replace("\t", "→")
            lines += [f"`dags/{name}.yaml`", "", "```text", *shown.rstrip().split("\n"), "```", ""]
            lines += ["```text", *found[name].rstrip().split("\n"), "```", ""]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return messages(tmp_path_factory.mktemp("mistakes") / "shop")


def test_the_page_shows_what_each_mistake_gets(found: dict[str, str]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert BEGIN + page.partition(BEGIN)[2].partition(END)[0] == part(found), f"write it anew: python {Path(__file__).name}"


@pytest.mark.parametrize("name", [*IN_YAML, *IN_SELECTIONS])
def test_each_has_a_place_and_says_what_to_type(found: dict[str, str], name: str) -> None:
    text = found[name]
    assert re.match(r"error: (dags|models)/\w+\.(yaml|sql)[: ]", text), text
    assert "\n  -> " in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("no_such_tag", "tag:daily"),
        ("no_such_folder", "path:models/marts"),
        ("no_such_model", "fct_loads"),
        ("all_left_out", "dbt-flow new"),
    ],
)
def test_an_empty_selection_says_what_may_have_been_meant(found: dict[str, str], name: str, meant: str) -> None:
    assert meant in found[name].partition("  -> ")[2]


def test_there_are_enough_and_what_is_right_gets_nothing(found: dict[str, str]) -> None:
    assert len(IN_YAML) >= 20
    assert len(IN_SELECTIONS) >= 10
    assert "good" not in found
    assert set(CODES) >= {"yaml-syntax", "dbt-selector"}


if __name__ == "__main__":
    os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    with tempfile.TemporaryDirectory() as scratch:
        text = part(messages(Path(scratch) / "shop"))
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN if BEGIN in page else END, 1)
    after = rest.partition(END)[2] if BEGIN in page else rest
    PAGE.write_text(before + text + END + after, encoding="utf-8")
