"""``isolate:`` on other machines: each step in a pod of its own, from what the launcher compiled and left in the bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pod import Cluster, Ended, python_without_the_checkout
from servers.moto import BUCKET, Moto, moto_server
from shop import open_shop

WORKFLOW = "apart-q2w3e"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Moto, dict[str, Ended]]]:
    folder = tmp_path_factory.mktemp("apart")
    with moto_server(folder) as aws:
        dag = {"select": "+report", "isolate": "report", "resources": {"cpu": 2, "memory": "6GB"}}
        shop = open_shop(folder / "shop", dags={"apart": dag})
        disk = folder / "disk" / "shop.duckdb"  # on which every pod looks
        disk.parent.mkdir()
        output = {"type": "duckdb", "path": str(disk), "threads": 2}
        (shop.folder / "profiles.yml").write_text(json.dumps({"shop": {"target": "dev", "outputs": {"dev": output}}}))
        (shop.folder / "dbt_flow.yml").write_text(f"state: s3://{BUCKET}/state\n")
        done = shop.start(*shop.metaflow("apart", "argo-workflows", "create", "--only-json"), env=aws.s3_datastore).end(300)
        assert done.code == 0, done.stderr
        shop.close()  # no checkout: what the pods need has travelled
        template = json.loads(done.stdout)
        asked = json.dumps(next(t for t in template["spec"]["templates"] if t["name"] == "report"))
        assert "cpu=2" in asked and "memory=6144" in asked
        cluster = Cluster(template, folder, *python_without_the_checkout(folder / "image"), aws.s3_datastore)
        ended: dict[str, Ended] = {}
        before = ""
        for step in ("start", "report", "end"):
            ended[step] = cluster.run(step, WORKFLOW, before)
            assert ended[step].code == 0, ended[step].said
            run = f"metaflow/Apart/argo-{WORKFLOW}/{step}/"
            [task] = {key.removeprefix(run).split("/")[0] for key in aws.objects(run)}
            before = f"argo-{WORKFLOW}/{step}/{task}"
        yield aws, ended


def test_the_last_pod_settles_the_run_of_all(ran: tuple[Moto, dict[str, Ended]]) -> None:
    aws, ended = ran
    run = f"state/runs/dev/apart/argo-{WORKFLOW}"
    kept = {key.removeprefix(f"{run}/"): value for key, value in aws.objects(run).items()}
    result = json.loads(kept["result.json"])
    assert result["status"] == "success"
    assert {node["status"] for node in result["nodes"]} == {"success", "pass"}
    assert {"receipt.json", "card.html", "plan.json", "run_results.json"} <= set(kept)
    assert "model.shop.report" in ended["report"].said and "model.shop.report" not in ended["start"].said


def test_a_pod_knows_the_seeds_where_they_are_there(ran: tuple[Moto, dict[str, Ended]]) -> None:
    _, ended = ran
    assert "seed.shop.orders" in ended["start"].said
    assert Path(ended["start"].folder / "carried/files/seeds/orders.csv").is_file()
