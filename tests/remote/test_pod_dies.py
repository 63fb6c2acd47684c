"""Runs in pods on a real PostgreSQL: one that goes well, one that is killed without a word, and its retry from elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from far_loads import PASSWORD, VARIABLE, Loads, loads_on_a_cluster
from pod import Cluster, Container
from servers.moto import BUCKET
from shop import short

from dbt_flow.state.signs import SILENT

DBT = "import sys; from dbt.cli.main import cli; cli(sys.argv[1:])"
GOOD, DEAD = "Loads/argo-loads-good", "Loads/argo-loads-dead"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loads]:
    with loads_on_a_cluster(tmp_path_factory.mktemp("dies")) as loads:
        yield loads


@pytest.fixture(scope="module")
def cluster(far: Loads) -> Cluster:
    return far.deployed("loads")


def kept(far: Loads, run: str) -> dict[str, str]:
    """Statuses of the nodes of a run, by short name."""
    number = run.partition("/")[2]
    [raw] = [value for key, value in far.aws.objects("state/runs/").items() if key.endswith(f"/{number}/result.json")]
    return {short(node["id"]): node["status"] for node in json.loads(raw)["nodes"]}


def test_a_pod_ends_as_dbt_build_with_the_password_of_its_secret(far: Loads, cluster: Cluster) -> None:
    assert far.database.sql("select rolpassword is not null from pg_authid where rolname = 'loader'") == [(True,)]
    assert VARIABLE not in cluster.variables and PASSWORD not in json.dumps(cluster.template)
    ended = cluster.run("end", "loads-good")
    assert ended.code == 0, ended.said
    assert far.history("loads") == {GOOD: "success"}
    plain = far.shop.start(sys.executable, "-c", DBT, "build", env=far.env).end()
    assert plain.code == 0, plain.stdout
    results = json.loads((far.shop.folder / "target/run_results.json").read_text())["results"]
    assert kept(far, GOOD) == {short(entry["unique_id"]): entry["status"] for entry in results}
    assert far.database.sql("select as_of from dev.after_slow limit 1") == [("never",)], "dbt's; the run's said `today`"
    objects = far.aws.objects()
    assert not [name for name, value in objects.items() if PASSWORD.encode() in value]
    assert not [name for name in objects if "/beats/" in name], "who has ended says so, and needs no sign of life"


@pytest.fixture(scope="module")
def dead(far: Loads, cluster: Cluster) -> Container:
    """A pod that was killed while it built ``slow``."""
    far.told(3600)
    pod = cluster.start("end", "loads-dead")
    asleep = "select 1 from pg_stat_activity where usename = 'loader' and query like '%pg_sleep%' and state = 'active'"
    until = time.monotonic() + 300
    while not far.database.sql(asleep):
        assert time.monotonic() < until and pod.process.poll() is None, pod.log.read_text()
        time.sleep(0.1)
    pod.kill()
    far.told()
    return pod


def grown_silent(far: Loads) -> None:
    """The time passes after which a pod that says nothing is given up."""
    for key, value in far.aws.objects("state/beats/").items():
        at = datetime.now(timezone.utc) - timedelta(seconds=SILENT + 60)
        sign = {**json.loads(value), "at": at.isoformat()}
        far.aws.client().put_object(Bucket=BUCKET, Key=key, Body=json.dumps(sign).encode())


def test_it_is_told_as_failed_once_it_has_been_silent_for_long(far: Loads, dead: Container) -> None:
    assert far.history("loads")[DEAD] == "running", "its pod might live"
    grown_silent(far)
    assert far.history("loads")[DEAD] == "failed"
    statuses = kept(far, DEAD)
    assert (statuses["slow"], statuses["after_slow"]) == ("lost", "lost")
    card = far.said("card", DEAD, "--out", "-")
    assert "died without a word" in card.stdout, card.stderr


def test_a_retry_on_a_laptop_in_another_folder_builds_what_is_missing(far: Loads, dead: Container) -> None:
    grown_silent(far)
    far.shop.folder = far.shop.folder.rename(far.shop.folder.with_name("a laptop"))
    mended = far.said("retry", DEAD, "--json")
    assert mended.code == 0, mended.stderr
    missing = {name for name, status in kept(far, DEAD).items() if status == "lost"}
    assert {name for name, status in mended.statuses.items() if status != "reused"} == missing
    assert far.database.sql("select as_of from dev.after_slow limit 1") == [("today",)], "with the parameters of the pod's run"
    [line] = [one for one in far.said("history", "loads", "--json").json["runs"] if one["run"] == mended.json["run"]]
    assert line["trigger"] == f"retry of {DEAD}"
