"""Signs of life: a run elsewhere that says nothing more is told as failed by whoever looks, one that lives is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dbt_flow.pipeline.settle import settle_dead
from dbt_flow.pipeline.unheard import settle_unheard
from dbt_flow.plan.planned import Plan
from dbt_flow.records import utc_text
from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.outcomes import Outcomes
from dbt_flow.state.begun import dags_begun, unheard
from dbt_flow.state.runs import RunRecord, RunRef, goes_on
from dbt_flow.state.signs import NEXT_WITHIN, SILENT, UNHEARD, Heart, lives, signs
from dbt_flow.state.store import FolderStore, put_json

FACTS = {"flow": "Few", "run": "Few/argo-1", "owner": "shopkeepers", "host": "a-pod", "more": False}
PLAN = {
    "version": 1,
    "dag": "few",
    "target": "dev",
    "project": "shop",
    "adapter": "duckdb",
    "nodes": [{"id": "model.shop.one", "name": "one", "type": "model", "package": "shop", "path": "models/one.sql"}],
    "edges": [],
    "gates": [],
    "steps": [{"name": "one", "nodes": ["model.shop.one"]}],
}


class Shared(FolderStore):
    """A folder on which several machines look, in place of a bucket."""

    @property
    def local(self) -> FolderStore:
        """This machine's own."""
        return FolderStore(self.folder.parent / "here")


@pytest.fixture
def store(tmp_path: Path) -> Shared:
    return Shared(tmp_path / "shared")


def ago(seconds: float) -> str:
    return utc_text(datetime.now(timezone.utc) - timedelta(seconds=seconds))


def sign(seconds: float, **more: Any) -> dict[str, Any]:
    return {"version": 1, **FACTS, "at": ago(seconds), "left": False, **more}


@pytest.mark.parametrize(
    ("said", "living"),
    [
        (lambda: [sign(SILENT / 2)], True),
        (lambda: [sign(SILENT * 2)], False),
        (lambda: [sign(SILENT * 2, more=True)], True),
        (lambda: [sign(NEXT_WITHIN * 2, more=True)], False),
        (lambda: [sign(SILENT * 2, left=True)], True),
        (lambda: [sign(NEXT_WITHIN * 2, left=True)], False),
        (lambda: [sign(SILENT * 3, more=True), sign(SILENT * 2)], False),
        (lambda: [sign(SILENT * 2), sign(SILENT / 2)], True),
        (lambda: [sign(SILENT * 2), sign(SILENT / 2, left=True)], False),
        (lambda: [{**sign(0), "at": "gibberish"}], False),
    ],
    ids=[
        "lives",
        "died",
        "tried-again",
        "not-tried-again",
        "next-step",
        "no-next-step",
        "both-died",
        "one-lives",
        "no-use",
        "?",
    ],
)
def test_what_signs_say(said: Callable[[], list[dict[str, Any]]], living: bool) -> None:
    """The signs are made when the test runs: they age."""
    assert lives(said()) is living


def test_a_run_without_signs_is_given_a_day() -> None:
    assert lives([], ago(UNHEARD / 2)) and not lives([], ago(UNHEARD * 2)) and not lives([])


def test_a_heart_beats_until_the_run_is_settled(store: Shared) -> None:
    heart = Heart(store, "few/argo-1/0", lambda: FACTS)
    heart.start()
    until = time.monotonic() + 60
    while not signs(store, "few", "argo-1") and time.monotonic() < until:
        time.sleep(0.01)
    assert dags_begun(store) == {"few": " argo-1"}
    assert unheard(store, "few") == ((), True), "it lives"
    heart.stop()
    heart.left()
    [last] = signs(store, "few", "argo-1")
    assert (last["left"], last["owner"]) == (True, "shopkeepers")
    result = settle_dead(store, "few", "argo-1", "Few")
    assert result is not None and signs(store, "few", "argo-1") == []
    heart.left()
    assert signs(store, "few", "argo-1") == [], "who has settled the run leaves none"


def test_where_one_machine_remembers_alone_nothing_is_written(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    heart = Heart(store, "few/1/0", lambda: FACTS)
    heart.start()
    heart.stop()
    heart.left()
    assert not (tmp_path / "state").exists()


def test_a_pod_that_died_before_dbt_had_parsed_is_told(store: Shared) -> None:
    put_json(store, "beats/few/argo-1/0.json", sign(SILENT * 2))
    put_json(store, "beats/few/argo-2/0.json", sign(1))
    [result] = settle_unheard(store, "few")
    assert (result.run, result.status, result.owner) == ("Few/argo-1", "failed", "shopkeepers")
    assert "died before dbt had said" in result.reason
    assert store.list("beats/few") == ["argo-2"], "the other one lives"


def test_a_pod_that_died_while_it_built_is_told_with_the_node_that_is_lost(store: Shared, tmp_path: Path) -> None:
    record = RunRecord(store, RunRef("dev", "few", "argo-1"))
    record.begin_attempt(0, {**FACTS, "started": ago(SILENT * 3)})
    record.put("plan.json", Plan.from_dict(PLAN).to_dict())
    record.node_started(0, "model.shop.one", ago(SILENT * 2))
    put_json(store, "beats/few/argo-1/0.json", sign(1))
    assert goes_on(record) and settle_dead(store, "few", "argo-1") is None
    put_json(store, "beats/few/argo-1/0.json", sign(SILENT * 2))
    outcomes = Outcomes(EventLog(tmp_path / "here"), store, "freight", "prod")
    assert outcomes.settle_the_dead() == ["Few/argo-1"], "serve tells it"
    result = record.result()
    assert result is not None and [(node.id, node.status) for node in result.nodes] == [("model.shop.one", "lost")]
    assert "was being built" in result.nodes[0].reason and result.error is not None
    assert "died without a word" in result.error["message"]
    assert outcomes.settle_the_dead() == [], "once"


def test_a_sign_that_came_after_the_end_is_taken_away(store: Shared) -> None:
    put_json(store, "beats/few/argo-1/0.json", sign(SILENT * 2))
    assert len(settle_unheard(store, "few")) == 1
    put_json(store, "beats/few/argo-1/0.json", sign(SILENT * 2))
    assert settle_unheard(store, "few") == []
    assert store.list("beats/few") == []
