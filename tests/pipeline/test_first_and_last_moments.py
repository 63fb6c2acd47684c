"""The moments in which a run is easily lost: before dbt has parsed, and between its record and Metaflow's."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from shop import SIGNALS, Shop, open_shop

from dbt_flow.pipeline.card_again import finish
from dbt_flow.records import RunResult
from dbt_flow.report.card import card_document, render
from dbt_flow.report.extra import CardExtra
from dbt_flow.state.begun import KEPT, note_begun, unheard
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import FolderStore, read_lines

FOR_EVER = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}select 1 as id\n"
"""A model that takes hours to parse."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(
        tmp_path_factory.mktemp("shop"), dags={"few": {"select": "+stg_customers", "exclude": "test_name:relationships"}}
    )
    yield opened
    opened.close()


def test_killed_with_all_its_watchers_while_dbt_parses(shop: Shop) -> None:
    """Nobody is left to tell, and there is no record yet: the next who looks settles it."""
    model = shop.folder / "models/for_ever.sql"
    model.write_text(FOR_EVER)
    started = shop.start(*shop.command("few"))
    noted = FolderStore(shop.state)
    started.until(lambda: len([*read_lines(noted, "begun/few.jsonl")]) == 2)  # the launcher's and the task's
    for process in shop.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    started.end()
    model.unlink()
    assert not list(shop.state.glob("runs/*/few/*"))
    history = shop.start(sys.executable, "-m", "dbt_flow", "history", "few", "--json").end()
    [row] = history.json["runs"]
    assert (row["status"], row["target"]) == ("failed", "unknown")
    assert "died before dbt had said what there is to build" in row["reason"]
    [folder] = shop.state.glob("runs/unknown/few/*")
    assert "shopkeepers" in (folder / "card.html").read_text()
    assert json.loads((folder / "result.json").read_text())["owner"] == "shopkeepers"
    assert [path.name for path in (shop.state / "targets").iterdir()], "what dbt was writing is left"
    good = shop.run("few")
    assert good.code == 0, good.stderr
    assert not list((shop.state / "targets").iterdir()), "and goes with the next run"
    assert len(list(shop.state.glob("runs/*/few/*/result.json"))) == 2


def test_the_next_run_settles_it_too(shop: Shop) -> None:
    store, gone = FolderStore(shop.state), {"pid": 2**22 + 1, "born": 1.0}
    note_begun(store, "few", "Few/7", {**gone, "flow": "Few", "owner": "shopkeepers"})
    assert shop.run("few").code == 0
    [result] = shop.state.glob("runs/*/few/7/result.json")
    assert json.loads(result.read_text())["status"] == "failed"


def test_what_is_noted_is_bounded_and_told_once(tmp_path: Path) -> None:
    store, gone = FolderStore(tmp_path), {"pid": 2**22 + 1, "born": 1.0}
    for number in range(5 * KEPT):
        note_begun(store, "few", f"Few/{number}", gone)
    note_begun(store, "few", "Few/999", {})
    assert KEPT <= len([*read_lines(store, "begun/few.jsonl")]) <= 2 * KEPT
    dead, others = unheard(store, "few")
    assert others, "this process lives"
    assert f"{5 * KEPT - 1}" in dead and "999" not in dead
    (tmp_path / f"runs/dev/few/{5 * KEPT - 1}").mkdir(parents=True)
    assert f"{5 * KEPT - 1}" not in unheard(store, "few")[0], "it has a record"


def test_signals_after_the_record_change_nothing(shop: Shop) -> None:
    started = shop.start(*shop.command("few"))
    before = {*shop.state.glob("runs/*/few/*/result.json")}
    log = started.until(lambda: next(iter({*shop.state.glob("runs/dev/few/*/attempt-0.jsonl")} - _known(before)), None))
    step = psutil.Process(json.loads(log.read_text().splitlines()[0])["pid"])
    started.until((log.parent / "result.json").exists)
    with suppress(psutil.NoSuchProcess):
        while step.status() != psutil.STATUS_ZOMBIE:
            step.send_signal(SIGNALS["SIGTERM"])
    ran = started.end()
    assert (ran.code, ran.json["status"]) == (0, "success"), ran.stderr
    assert shop.told_by_metaflow(ran.json["run"])[ran.json["run"]]["successful"]


def test_killed_between_the_record_and_the_card(shop: Shop) -> None:
    """What the task still owed is made by its launcher, or by who started that."""
    ran = shop.run("few")
    folder = shop.run_folder(ran.json["run"])
    final = (folder / "card.html").read_text()
    live = render(card_document(None, RunResult.from_dict(shop.kept(ran.json["run"], "result.json")), CardExtra(live=True)))
    (folder / "card.html").write_text(live)
    (folder / "run_results.json").unlink()
    record = RunRecord(FolderStore(shop.state), RunRef("dev", "few", folder.name))
    finish(record)
    made = (folder / "card.html").read_text()
    assert "All " in made and "Good" in made and made != live
    assert len(json.loads((folder / "run_results.json").read_text())["results"]) == len(ran.json["nodes"])
    (folder / "card.html").write_text(final)
    finish(record)
    assert (folder / "card.html").read_text() == final, "a card that is final is left alone"


def _known(results: set[Path]) -> set[Path]:
    return {result.parent / "attempt-0.jsonl" for result in results}
