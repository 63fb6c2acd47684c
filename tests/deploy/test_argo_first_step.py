"""A run's first step on Argo, as real runs of Metaflow with a pod's variables: what builds, what waits, what is left of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from argo_pod import Pod, Pods, Webhook, attempts_ok, clock, ended, far_from_now, webhook, with_flows
from servers.moto import BUCKET, moto_server
from shop import Shop, open_shop

from dbt_flow.pipeline.first_step import Deployed, begin_to_listen
from dbt_flow.settings import load_settings
from dbt_flow.spec import load_dag
from dbt_flow.state.store import FolderStore

DAY = 86_400.0
AT = far_from_now()
SECRET = "swordfish-of-the-harbour"
FITTED = {"after": ["Fit", "Score"], "within": "2h"}
DAGS: dict[str, dict[str, Any]] = {
    "fitted": {"select": "customers", "trigger": FITTED},
    "late": {"select": "customers", "trigger": {"event": "landed", "at_latest": AT}},
    "later": {"select": "customers", "trigger": {"after": "Fit", "at_latest": AT, "otherwise": "run"}},
}


@pytest.fixture(scope="module")
def hook() -> Iterator[Webhook]:
    with webhook() as server:
        yield server


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory, hook: Webhook) -> Iterator[Pods]:
    shop = open_shop(tmp_path_factory.mktemp("shop"), dags=DAGS)
    with_flows(shop.folder, "Fit", "Score")
    yield Pods(shop, hook, {"DBT_ENV_SECRET_PHRASE": SECRET})
    shop.close()


def result(pod: Pod) -> dict[str, Any]:
    found: dict[str, Any] = pod.pods.shop.kept(pod.run, "result.json")
    return found


def cancelled(pod: Pod) -> str:
    """Why a run did not build. For Argo it is done."""
    assert pod.code == 0, pod.done
    said = result(pod)
    assert (said["status"], said["nodes"], said["target"]) == ("cancelled", [], "unknown"), said
    return str(said["reason"])


def built(pod: Pod) -> str:
    """What started a run that built."""
    assert pod.code == 0, pod.done
    said = result(pod)
    assert said["status"] == "success" and said["nodes"], said
    return str(said["trigger"])


def listens(shop: Shop, dag: str, since: float) -> None:
    """As ``deploy`` has it."""
    chosen = load_dag(load_settings(start=shop.folder, environ={}), dag)
    place = Deployed(f"shop.prod.{chosen.flow_name.lower()}", "default", "shop", "prod")
    begin_to_listen(FolderStore(shop.state), chosen, place, since)


def test_it_waits_for_the_second_then_builds(pods: Pods) -> None:
    waits = pods.start("fitted", ended("Fit/1"), python=("-X", "importtime"), emits=True)
    assert cancelled(waits) == "waiting for Score (nothing has come of it yet)"
    assert pods.hook.names == [], "no event tells that it has finished"
    assert waits.done is not None and "builds nothing: waiting for Score" in waits.done.stdout
    imported = {line.rpartition("|")[2].strip() for line in waits.done.stderr.splitlines() if line.startswith("import time:")}
    assert "dbt_flow.pipeline.first_step" in imported
    assert not {name for name in imported if name == "dbt" or name.startswith(("dbt.", "duckdb"))}
    builds = pods.run("fitted", ended("Score/1"))
    assert built(builds) == "after Fit/1 and after Score/1"
    again = pods.run("fitted", ended("Score/1"))
    assert cancelled(again) == f"Score/1 was heard before, by {builds.run}"
    ends = {pod.number: attempts_ok(pods.shop.folder, pod.number) for pod in (waits, builds, again)}
    assert ends == {waits.number: ["False"], builds.number: ["True"], again.number: ["False"]}, "what Metaflow thinks of them"
    assert not list(pods.shop.state.glob("outbox/*/*.json")), "nobody is told"
    assert "Cancelled" in (pods.shop.run_folder(again.run) / "card.html").read_text()


def test_two_workflows_at_once_build_once(pods: Pods) -> None:
    both = [pods.start("fitted", ended("Fit/2")), pods.start("fitted", ended("Score/2"))]
    assert [pod.code for pod in both] == [0, 0]
    builds, waits = sorted(both, key=lambda pod: str(result(pod)["status"]), reverse=True)
    assert built(builds) == "after Fit/2 and after Score/2"
    assert cancelled(waits).startswith("waiting for ")


def test_hold_tells_the_owner_and_the_event_starts_it(pods: Pods) -> None:
    listens(pods.shop, "late", time.time() - 2 * DAY)
    held = pods.run("late", clock(), emits=True)
    assert cancelled(held).startswith(f"held at {AT}: waiting for landed (nothing has come")
    quiet = pods.run("late", clock(), emits=True)
    assert quiet.code == 0 and pods.hook.names == []
    assert not list(pods.shop.state.glob(f"runs/*/*/{quiet.number}")), "that there was nothing to do is not worth a record"
    landed = {"name": "landed", "id": "1", "timestamp": int(time.time()), "note": SECRET}
    assert built(pods.run("late", landed)) == "event landed"
    turns = [json.loads(file.read_text()) for file in sorted(pods.shop.state.glob("awaited/default/shop.prod.late/*.json"))]
    assert [(one["id"], one["at"], one["payload"]["note"]) for one in turns[-1]["heard"]] == [
        ("1", landed["timestamp"], "*****")
    ]


def test_run_builds_without_it_and_says_so(pods: Pods) -> None:
    listens(pods.shop, "later", time.time() - 2 * DAY)
    late = pods.run("later", clock())
    assert built(late) == f"at {AT} without Fit (nothing has come of it yet)"
    assert pods.shop.kept(late.run, "receipt.json")["missing"] == ["Fit (nothing has come of it yet)"]


def test_in_a_bucket(tmp_path_factory: pytest.TempPathFactory, hook: Webhook) -> None:
    with moto_server(tmp_path_factory.mktemp("moto")) as aws:
        shop = open_shop(tmp_path_factory.mktemp("far"), dags=DAGS)
        with_flows(shop.folder, "Fit", "Score")
        pods = Pods(shop, hook, {**aws.variables, "DBT_FLOW_STATE": f"s3://{BUCKET}/state"})
        both = [pods.start("fitted", ended("Fit/1")), pods.start("fitted", ended("Score/1"))]
        assert [pod.code for pod in both] == [0, 0]
        kept = aws.objects("state/")
        results = [json.loads(raw) for key, raw in kept.items() if key.endswith("result.json")]
        assert sorted(one["status"] for one in results) == ["cancelled", "success"]
        assert len([key for key in kept if key.startswith("state/awaited/default/shop.prod.fitted/")]) == 2
        shop.close()
