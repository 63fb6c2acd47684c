"""``reuse: unchanged`` and ``require_fresh`` beside ``isolate``: decided by the run's first step, and the same node by node."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Ran, Shop

sys.path.insert(0, str(Path(__file__).parents[1] / "reuse"))
from yard import Yard

DAG = {"owner": "anyone", "select": "+top +later growing", "reuse": "unchanged"}
STEPS = {**DAG, "isolate": "facts slowly later growing"}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[tuple[Yard, Shop], tuple[Yard, Shop]]]:
    """The same project twice: one run in one step, the other in several."""
    found = []
    for name, keys in (("whole", DAG), ("steps", STEPS)):
        yard = Yard(tmp_path / name)
        shop = Shop(yard.folder)
        shop.dag("made", **keys)
        found.append((yard, shop))
    yield found[0], found[1]
    for _, shop in found:
        shop.close()


def said(run: Ran) -> dict[str, tuple[str, str]]:
    """Status and reason of each node, without the runs' numbers."""
    return {node["id"]: (node["status"], re.sub(r"\w+/\d+", "RUN", node["reason"])) for node in run.json["nodes"]}


def content(yard: Yard) -> dict[str, list[tuple[object, ...]]]:
    with yard.database() as open_:
        names = ("facts", "slowly", "growing", "later", "top", "codes")
        there = {
            row[0] for row in open_.execute("select table_name from duckdb_tables() where schema_name = 'main'").fetchall()
        }
        return {name: sorted(open_.execute(f"select * from main.{name}").fetchall()) for name in names if name in there}


def test_the_same_node_by_node(pair: tuple[tuple[Yard, Shop], tuple[Yard, Shop]]) -> None:
    def both() -> Ran:
        runs = [shop.run("made") for _, shop in pair]
        assert [run.code for run in runs] == [0, 0], runs[1].stderr
        assert said(runs[1]) == said(runs[0])
        left, right = (content(yard) for yard, _ in pair)
        for name in left:  # a snapshot has times of its own
            assert [row[:2] for row in left[name]] == [row[:2] for row in right[name]], name
        return runs[1]

    both()
    steps = pair[1][1]
    again = both()
    assert again.statuses["facts"] == "reused" and again.node("facts")["reason"].startswith("unchanged since Made/")
    # An isolated step whose node is reused does nothing but say so: dbt is not loaded there.
    folder = steps.run_folder(again.json["run"])
    left = json.loads((folder / "attempt-0.facts.jsonl").read_text().splitlines()[-1])["left"]
    assert left["cpu_of_dbt"] == 0
    assert "facts: nothing is built here: reused, unchanged since Made/" in (folder / "metaflow.log").read_text()
    decisions = {item["id"]: item["decision"] for item in steps.kept(again.json["run"], "decisions-0.json")}
    assert decisions["model.yard.facts"] == "reuse"

    for yard, _ in pair:  # a row more, another seed, and a table that somebody has dropped
        yard.codes[3] = 30
        yard.numbers["top"] = 1
        yard.write()
        with yard.database() as open_:
            open_.execute("insert into raw.b values (9, 90)")
            open_.execute("drop table if exists main.later")
    edited = both()
    assert edited.statuses["facts"] == "success" and edited.statuses["later"] == "success"
    # What the steps leave is evidence for a run of one step, and the other way round.
    steps.dag("made", **DAG)
    mixed = steps.run("made")
    assert (mixed.code, mixed.statuses["facts"], mixed.statuses["growing"]) == (0, "reused", "success")
