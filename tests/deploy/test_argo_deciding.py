"""What a first step on Argo decides, and says, for what it hears and what is recorded; on state in a folder."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from argo_pod import clock, ended, far_from_now, variables, with_flows

from dbt_flow.errors import StateError
from dbt_flow.pipeline.attempt import Task
from dbt_flow.pipeline.first_step import Deployed, Verdict, begin_to_listen, decide_start, stop_listening
from dbt_flow.pipeline.job import Job
from dbt_flow.records import RunResult, utc_text
from dbt_flow.settings import load_settings
from dbt_flow.spec import load_dag
from dbt_flow.state.runs import RunRecord, RunRef

HOUR, DAY = 3600.0, 86_400.0


class Stand:
    """A DAG ``both`` that is deployed to production, and its state."""

    def __init__(self, root: Path, trigger: str, since: float = HOUR, listens: bool = True) -> None:
        (root / "dags").mkdir()
        (root / "dbt_project.yml").write_text("name: shop\n")
        with_flows(root, "Fit", "Score")
        for name in ("nightly", "weekly"):
            (root / f"dags/{name}.yaml").write_text("owner: team\nselect: x\n")
        (root / "dags/both.yaml").write_text(f"owner: team\nselect: x\ntrigger: {trigger}\n")
        settings = load_settings(start=root, environ={})
        self.job = Job.of(settings, load_dag(settings, "both"))
        self.place = Deployed("shop.prod.both", "default", "shop", "prod")
        self.store = self.job.store
        if listens:
            begin_to_listen(self.store, self.job.dag, self.place, time.time() - since)

    def turn(self, run: str, *events: dict[str, Any]) -> Verdict | None:
        task = Task("Both", run, f"Both/{run}/end/1")
        return decide_start(self.job, task, self.place, variables(*events))

    def says(self, run: str, *events: dict[str, Any]) -> str:
        """What it starts with, or why not: a start begins with ``builds``."""
        verdict = self.turn(run, *events)
        assert verdict is not None
        return f"builds {verdict.said}" if verdict.builds else verdict.said

    def recorded(self, run: str, status: str = "success", ago: float = 0.0, target: str = "dev") -> None:
        """A run of another DAG that was settled."""
        flow, _, number = run.partition("/")
        began = utc_text_ago(ago + 60)
        result = RunResult(flow.lower(), flow, run, status, "", target, started=began, seconds=60.0)
        RunRecord(self.store, RunRef(target, flow.lower(), number)).settle(result)


def utc_text_ago(seconds: float) -> str:
    return utc_text(datetime.now(timezone.utc) - timedelta(seconds=seconds))


NIGHTLY, WEEKLY = "Nightly/argo-shop.prod.nightly-1", "Weekly/argo-shop.prod.weekly-1"


@pytest.mark.parametrize("order", [(NIGHTLY, WEEKLY), (WEEKLY, NIGHTLY)])
def test_in_any_order_the_last_one_builds(tmp_path: Path, order: tuple[str, str]) -> None:
    stand = Stand(tmp_path, "{after: [nightly, weekly], within: 2h}")
    first, second = order
    other = "weekly" if first == NIGHTLY else "nightly"
    assert stand.says("argo-1", ended(first)) == f"waiting for {other} (nothing has come of it yet)"
    assert stand.says("argo-2", ended(second)) == f"builds after {NIGHTLY} and after {WEEKLY}"
    # The same task again, after its pod was lost, and the same events again, in workflows of their own.
    assert stand.says("argo-2", ended(second)).startswith("builds after ")
    assert stand.says("argo-3", ended(second)) == f"{second} was heard before, by Both/argo-2"
    assert stand.says("argo-4", ended(first)) == f"{first} was heard before, by Both/argo-1"


def test_an_end_that_argo_lost_is_read_from_the_record(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "{after: [nightly, weekly], within: 2h}")
    stand.recorded(NIGHTLY, ago=60)
    assert stand.says("argo-1", ended(WEEKLY)) == f"builds after {NIGHTLY} and after {WEEKLY}"
    assert stand.says("argo-2", ended(NIGHTLY)) == f"{NIGHTLY} was heard before, by Both/argo-1"


@pytest.mark.parametrize(
    ("run", "status", "ago"),
    [
        (NIGHTLY, "failed", 60),
        (NIGHTLY, "success", 2 * HOUR),  # before it was deployed
        ("Nightly/argo-shop.test.ann.nightly-1", "success", 60),  # a branch's
        ("Nightly/1763", "success", 60),  # somebody's own
    ],
)
def test_what_is_no_end_for_it(tmp_path: Path, run: str, status: str, ago: float) -> None:
    stand = Stand(tmp_path, "{after: [nightly, weekly], within: 24h}")
    stand.recorded(run, status, ago)
    assert stand.says("argo-1", ended(WEEKLY)) == "waiting for nightly (nothing has come of it yet)"


def test_an_event_of_a_run_that_was_not_good_is_none(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "{after: [nightly, weekly], within: 2h}")
    stand.recorded(NIGHTLY, "failed")
    assert stand.says("argo-1", ended(NIGHTLY)) == f"{NIGHTLY} is recorded as failed"


def test_too_far_apart_they_wait_for_each_other(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "{after: [Fit, Score], within: 2h}", since=DAY)
    assert "waiting for Score" in stand.says("argo-1", ended("Fit/1", ago=3 * HOUR))
    assert stand.says("argo-2", ended("Score/1")).startswith("waiting for Fit (the last one is 3 h ")
    assert stand.says("argo-3", ended("Fit/2")) == "builds after Fit/2 and after Score/1"


def test_starts_that_nobody_took_are_folded_into_one(tmp_path: Path) -> None:
    """Behind a long run workflows queue up; the first that comes through takes what all of them would have."""
    stand = Stand(tmp_path, "{after: [nightly, weekly], within: 2h}")
    runs = [f"{flow}/argo-shop.prod.{flow.lower()}-{number}" for number in (1, 2) for flow in ("Nightly", "Weekly")]
    for age, run in enumerate(runs):
        stand.recorded(run, ago=600 - 60 * age)
    assert stand.says("argo-1", ended(runs[0])) == f"builds after {runs[2]} and after {runs[3]}"
    assert [stand.says(f"argo-{number}", ended(run)).split()[-1] for number, run in enumerate(runs[1:], 2)] == [
        "Both/argo-1"
    ] * 3


def test_each_of_any_starts_it_once(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "{after: {any: [Fit, nightly]}}")
    stand.recorded(NIGHTLY)
    assert stand.says("argo-1", ended("Fit/1")) == "builds after Fit/1"
    assert stand.says("argo-2", ended(NIGHTLY)) == f"builds after {NIGHTLY}"
    assert stand.says("argo-3", ended("Fit/1")) == "Fit/1 was heard before, by Both/argo-1"


def test_by_hand_or_by_argos_own_rule_nothing_is_decided(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "{after: [nightly, weekly], within: 2h}")
    assert stand.turn("argo-1") is None
    (tmp_path / "dags/both.yaml").write_text("owner: team\nselect: x\ntrigger: {after: [nightly, weekly]}\n")
    settings = load_settings(start=tmp_path, environ={})
    stand.job = Job.of(settings, load_dag(settings, "both"))
    assert stand.turn("argo-1", ended(NIGHTLY)) is None


@pytest.mark.parametrize(
    ("otherwise", "says"),
    [
        ("hold", "held at AT: waiting for Score (nothing has come of it yet)"),
        ("skip", "skipped at AT: without Score (nothing has come of it yet)"),
        ("run", "builds after Fit/1, at AT without Score (nothing has come of it yet)"),
    ],
)
def test_at_latest(tmp_path: Path, otherwise: str, says: str) -> None:
    at = f"{datetime.now(timezone.utc) - timedelta(minutes=30):%H:%M}"
    stand = Stand(tmp_path, f'{{after: [Fit, Score], at_latest: "{at}", otherwise: {otherwise}}}', since=50 * 60)
    assert stand.says("argo-1", ended("Fit/1", ago=45 * 60)) == says.replace("AT", at)  # nobody was awake then
    verdict = stand.turn("argo-2", clock())
    assert verdict is not None and (verdict.builds, verdict.quiet) == (False, True)
    then = stand.says("argo-3", ended("Score/1"))
    held = "builds after Fit/1 and after Score/1"
    assert then.startswith(held if otherwise == "hold" else "waiting for Fit (the last one is ")


def test_a_deadline_in_time_is_nothing_to_do(tmp_path: Path) -> None:
    stand = Stand(tmp_path, f'{{after: Fit, at_latest: "{far_from_now()}"}}', since=1.0)
    assert stand.says("argo-1", ended("Fit/1")) == "builds after Fit/1"
    verdict = stand.turn("argo-2", clock())
    assert verdict is not None and (verdict.builds, verdict.quiet) == (False, True)


def test_the_first_turn_is_the_deployments_and_goes_with_it(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "{after: [nightly, weekly], within: 2h}")
    stand.turn("argo-1", ended(NIGHTLY))
    begin_to_listen(stand.store, stand.job.dag, stand.place, time.time())  # deployed again: it goes on
    assert stand.says("argo-2", ended(WEEKLY)).startswith("builds")
    stop_listening(stand.store, "default", "shop.prod.both")
    assert "waiting for nightly" in stand.says("argo-3", ended(WEEKLY))  # nobody remembers, and nobody fails


def test_a_payload_that_says_little_and_one_that_says_nothing(tmp_path: Path) -> None:
    stand = Stand(tmp_path, f'{{event: landed, at_latest: "{far_from_now()}"}}', since=1.0)
    assert stand.says("argo-1", {"name": "landed", "timestamp": "soon"}) == "builds event landed"
    assert stand.says("argo-2", {"name": "landed", "timestamp": str(time.time())}) == "builds event landed"
    other = stand.turn("argo-3", {"name": "another"})
    assert other is not None and not other.builds


def test_turns_of_a_newer_dbt_flow_are_not_guessed_at(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "{after: [nightly, weekly], within: 2h}")
    [file] = tmp_path.glob(".dbt_flow/awaited/default/shop.prod.both/*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 99}))
    with pytest.raises(StateError, match="version 99"):
        stand.turn("argo-1", ended(NIGHTLY))
