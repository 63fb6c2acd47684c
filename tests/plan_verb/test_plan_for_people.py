"""``plan DAG``: what runs and why, how long, when next, who waits and who is told; as text, as JSON, as a drawing."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from fleet_in_git import Desk

from dbt_flow.cli import main
from dbt_flow.records import NodeResult, RunResult
from dbt_flow.state.durations import learn_durations
from dbt_flow.state.history import remember
from dbt_flow.state.store import FolderStore

SVG = "{http://www.w3.org/2000/svg}"
TOOK = {"stage": 4.0, "orders": 6.0, "totals": 50.0}


@pytest.fixture
def past(desk: Desk) -> Desk:
    """Three good runs of ``daily`` and one that failed, and what each node usually takes."""
    store = FolderStore(desk.folder / ".dbt_flow")
    learn_durations(store, "dev", [NodeResult(f"model.shop.{name}", "success", seconds=took) for name, took in TOOK.items()])
    for number, (status, seconds) in enumerate([("success", 70.0), ("failed", 5.0), ("success", 90.0), ("success", 80.0)]):
        started = f"2026-11-0{number + 1}T06:00:00.000Z"
        run = RunResult("daily", "Daily", f"Daily/{number}", status, "", "dev", started, seconds=seconds)
        remember(store, "dev", "daily", run)
    return desk


def planned(desk: Desk, *words: str) -> dict[str, Any]:
    code, out, err = desk.ask("plan", *words, "--json")
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def test_without_a_past_nothing_is_foretold(desk: Desk) -> None:
    document = planned(desk, "hourly")
    assert {"dag", "nodes", "steps"} <= document.keys()
    assert all({"id", "type", "decision", "reason"} == node.keys() for node in document["nodes"])
    assert document["counts"] == {"run": {"model": 1, "test": 1}}
    assert (document["estimate"]["seconds"], document["estimate"]["last_good_runs"]) == (None, [])
    assert document["starts"] == {"kind": "after", "text": "after daily", "timezone": "UTC", "next": [], "warnings": []}
    assert (document["waiting"], document["done_by"]) == ([], None)


def test_the_past_says_how_long_and_what_holds_it_up(past: Desk) -> None:
    document = planned(past, "daily")
    estimate = document["estimate"]
    assert (estimate["usual_seconds"], sorted(estimate["last_good_runs"]), estimate["known_nodes"]) == (80.0, [70, 80, 90], 3)
    # The three stand on each other; a test between them is taken to last as long as tests do, which nobody knows yet.
    assert 60.0 <= estimate["seconds"] < 63.0
    names = [step["id"].rpartition(".")[2] for step in document["critical_path"] if step["id"].startswith("model")]
    assert names == ["stage", "orders", "totals"]
    _, out, _ = past.ask("plan", "daily")
    assert "3 good runs took 1 min 20 s in all (1 min 10 s to 1 min 30 s)" in out
    assert "stage (4.0 s) > orders (6.0 s) > totals (50 s): 3 steps" in out


def test_the_next_five_starts_and_the_deadline(past: Desk) -> None:
    past.put("dags/daily.yaml", "owner: ann", "timezone: Europe/Berlin\nowner: ann")
    document = planned(past, "daily")
    starts = [datetime.fromisoformat(start) for start in document["starts"]["next"]]
    assert [(start.hour, start.minute) for start in starts] == [(6, 0)] * 5
    assert len(set(starts)) == 5
    assert document["done_by"]["spare"] == 3600 - 80
    _, out, _ = past.ask("plan", "daily")
    assert "every day at 06:00 Europe/Berlin" in out
    assert "07:00 Europe/Berlin: the next run would be done at about 06:01, 58 min 40 s to spare" in out
    assert starts[0].tzinfo is not None
    assert f"{starts[0]:%Y-%m-%d} 06:00 CE" in out


def test_who_waits_and_who_is_told(desk: Desk) -> None:
    desk.put("dags/daily.yaml", "owner: ann", "alerts: {page: error, notify: warn}\nowner: ann")
    desk.put("models/schema.yml", "  - name: orders\n", "  - name: orders\n    config: {meta: {owner: bob}}\n")
    document = planned(desk, "daily")
    (waiting,) = document["waiting"]
    assert (waiting["name"], waiting["kind"], waiting["owner"], waiting["others"]) == ("hourly", "dag", "bob", [])
    told = document["told"]
    assert (told["owner"], told["contact"], told["page"], told["notify"]) == (
        "ann",
        {"email": "ann@example.com"},
        "error",
        "warn",
    )
    assert (told["page_has_a_way"], told["others"]) == (False, {"bob": 2})
    _, out, _ = desk.ask("plan", "daily")
    assert "then start     hourly (bob)" in out
    assert "of their own nodes: bob of 2 nodes" in out
    assert "a page for errors (but no way for a page is set" in out


def test_the_text_is_grouped_by_folder_with_its_reason(desk: Desk) -> None:
    _, out, _ = desk.ask("plan", "daily")
    assert out.splitlines()[0] == "daily on dev (duckdb): 3 models, 1 test"
    assert "Runs 3 models, 1 test, selected by tag:daily" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith(" models")]
    assert row == ["models", "stage,", "orders,", "totals", "1"]
    _, out, _ = desk.ask("plan", "daily", "--steps")
    assert [line.split()[:2] for line in out.splitlines() if line.startswith(" orders")] == [["orders", "view"]]


def test_a_drawing_as_svg(past: Desk) -> None:
    file = past.folder / "daily.svg"
    code, out, err = past.ask("plan", "daily", "--graph", str(file))
    assert (code, out) == (0, "")
    assert str(file) in err
    root = ElementTree.parse(file).getroot()
    boxes = {group.get("data-n"): group for group in root.iter(f"{SVG}g") if group.get("data-n")}
    assert {"numbers", "stage", "orders", "totals"} <= boxes.keys()
    assert "on the critical path" in str(boxes["totals"].get("aria-label"))
    assert "usually 50 s" in str(boxes["totals"].get("aria-label"))
    assert len(boxes["orders"].findall(f"{SVG}circle")) == 1
    assert len([path for path in root.iter(f"{SVG}path") if path.get("class") == "crit"]) == 2


def test_what_is_no_drawing_is_refused(desk: Desk) -> None:
    for words in (("--graph", "daily.png"), ("--graph", "daily.svg", "--open")):
        code, _, err = desk.ask("plan", "daily", *words)
        assert code == 2
        assert "dbt-flow plan daily --graph daily." in err


def test_open_shows_a_page_that_needs_nothing_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["--root", str(desk.folder), "plan", "daily", "--open"]) == 0
    (address,) = opened
    page = (desk.folder / ".dbt_flow/graphs/daily.html").read_text(encoding="utf-8")
    assert address.endswith("/.dbt_flow/graphs/daily.html")
    assert 'data-n="totals"' in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_names_that_look_like_html_stay_text(desk: Desk) -> None:
    desk.put("dags/daily.yaml", "owner: ann", "description: <script>alert(1)</script> & more\nowner: ann")
    file = desk.folder / "daily.html"
    desk.ask("plan", "daily", "--graph", str(file))
    text = file.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
