"""A run on another machine: packaged here, unpacked and run as a pod would; result, card and receipt end in the bucket."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pod import Cluster, Ended, python_without_the_checkout, where_is
from servers.moto import BUCKET, Moto, moto_server
from shop import Shop, open_shop

TOKEN, PASSWORD = "t0ken-of-the-carrier-api-7391", "pa55word-of-the-warehouse-2846"
SETTINGS = """
state: s3://{bucket}/state
remote:
  image: registry.freight.example/dbt-flow:1
  secrets: [freight/warehouse]
  variables: [SHOP_COLOUR]
"""


@dataclass
class Far:
    """A shop that is deployed, and the cluster that it is deployed to."""

    shop: Shop
    aws: Moto
    cluster: Cluster
    env: dict[str, str]

    def dbt_flow(self, *words: str) -> str:
        """What a command of this machine says."""
        done = self.shop.start(sys.executable, "-m", "dbt_flow", *words, env=self.env).end()
        assert done.code == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("far")
    with moto_server(folder) as aws:
        shop = open_shop(folder / "shop", dags={"apart": {"select": "+report", "isolate": "report", "resources": {"cpu": 2}}})
        profile = {"type": "duckdb", "path": str(folder / "disk" / "shop.duckdb"), "threads": 2, "schema": "main"}
        (folder / "disk").mkdir()
        profile["config_options"] = {"custom_user_agent": "{{ env_var('DBT_ENV_SECRET_WAREHOUSE') }}"}
        outputs = {"dev": profile, "prod": {"type": "postgres", "password": "of-no-business-of-this-run"}}
        (shop.folder / "profiles.yml").write_text(json.dumps({"shop": {"target": "dev", "outputs": outputs}}))
        (shop.folder / "models/report.sql").write_text(
            "{{ config(meta={'by': env_var('SHOP_API_TOKEN')}) }}\nselect * from {{ ref('totals') }}\n"
        )
        (shop.folder / ".env").write_text("SHOP_API_TOKEN=in-a-file-that-must-stay")
        (shop.folder / "dbt_flow.yml").write_text(SETTINGS.format(bucket=BUCKET))
        secret = {"SHOP_API_TOKEN": TOKEN, "DBT_ENV_SECRET_WAREHOUSE": PASSWORD}
        aws.client("secretsmanager").create_secret(Name="freight/warehouse", SecretString=json.dumps(secret))
        backend = {"METAFLOW_DEFAULT_SECRETS_BACKEND_TYPE": "aws-secrets-manager"}
        env = {**aws.s3_datastore, **backend, **secret, "SHOP_COLOUR": "blue"}
        programs, packages = python_without_the_checkout(folder / "image")
        cluster = Cluster({}, folder, programs, packages, {**aws.s3_datastore, **backend})
        yield Far(shop, aws, cluster, env)
        shop.close()


def deployed(far: Far, dag: str) -> Cluster:
    done = far.shop.start(*far.shop.metaflow(dag, "argo-workflows", "create", "--only-json"), env=far.env).end()
    assert done.code == 0, done.stderr
    template = json.loads(done.stdout)
    return Cluster(template, far.cluster.folder, far.cluster.programs, far.cluster.packages, far.cluster.variables)


def container(cluster: Cluster, step: str) -> dict[str, object]:
    found: dict[str, object] = next(t for t in cluster.template["spec"]["templates"] if t["name"] == step)["container"]
    return found


@pytest.fixture(scope="module")
def ran(far: Far) -> tuple[Cluster, Ended]:
    cluster = deployed(far, "shop")
    return cluster, cluster.run("end", "shop-x7k2q")


def test_a_pod_runs_it_and_everything_is_in_the_bucket(far: Far, ran: tuple[Cluster, Ended]) -> None:
    cluster, ended = ran
    assert ended.code == 0, ended.said
    assert where_is("dbt_flow", ended, cluster.packages).startswith(str(ended.folder)), "it ran what travelled"
    [line] = json.loads(far.dbt_flow("history", "shop", "--json"))["runs"]
    assert (line["run"], line["status"]) == ("Shop/argo-shop-x7k2q", "success")
    assert "Shop/argo-shop-x7k2q" in far.dbt_flow("receipt", "shop")
    assert "<html" in far.dbt_flow("card", "shop", "--out", "-")
    cards = [key for key in far.aws.objects("metaflow/mf.cards/Shop/") if key.endswith(".html")]
    assert cards, "Metaflow has its card too"


def test_the_pod_parses_nothing_that_travelled_parsed(far: Far, ran: tuple[Cluster, Ended]) -> None:
    _, ended = ran
    assert len([*(ended.folder / ".dbt_flow/parse").glob("*.msgpack")]) == 1
    assert len(far.aws.objects("state/parse/")) == 1, "the launcher's: the pod had nothing to add"
    facts = json.loads((ended.folder / "carried/carried.json").read_text())
    assert set(facts["versions"]) == {"python", "dbt-core", "dbt-duckdb"}


def test_nothing_secret_travels_or_rests(far: Far, ran: tuple[Cluster, Ended]) -> None:
    cluster, _ = ran
    assert TOKEN not in json.dumps(cluster.template) and PASSWORD not in json.dumps(cluster.template)
    objects = far.aws.objects()
    packages = [value for value in objects.values() if value[:2] == b"\x1f\x8b"]
    opened = dict(objects)
    for number, package in enumerate(packages):
        try:
            with tarfile.open(fileobj=io.BytesIO(package)) as archive:
                for entry in archive.getmembers():
                    if entry.isfile():
                        opened[f"package {number}: {entry.name}"] = (archive.extractfile(entry) or io.BytesIO()).read()
        except tarfile.ReadError:
            import gzip  # noqa: PLC0415 - an artifact

            opened[f"artifact {number}"] = gzip.decompress(package)
    names = " ".join(opened)
    assert "carried/files/models/report.sql" in names and "result.json" in names
    assert "carried/files/.env" not in names and ".duckdb" not in names
    for said in (TOKEN, PASSWORD, "in-a-file-that-must-stay", "of-no-business-of-this-run"):
        assert [name for name, value in opened.items() if said.encode() in value] == []


def test_the_steps_bear_what_the_files_say(far: Far, ran: tuple[Cluster, Ended]) -> None:
    described = json.dumps(container(ran[0], "end"))
    assert "registry.freight.example/dbt-flow:1" in described
    assert "SHOP_COLOUR" in described and "blue" in described


def test_another_version_ends_before_anything_is_touched_and_the_card_says_so(far: Far, ran: tuple[Cluster, Ended]) -> None:
    cluster, _ = ran
    image = far.cluster.folder / "other-image"
    programs, packages = python_without_the_checkout(image)
    [mark] = packages.glob("dbt_core-*.dist-info")
    mark.rename(packages / "dbt_core-1.9.9.dist-info")
    other = Cluster(cluster.template, far.cluster.folder, programs, packages, cluster.variables)
    ended = other.run("end", "shop-other")
    assert ended.code != 0
    assert "other versions" in ended.said and "dbt-core" in ended.said and "here 1.9.9" in ended.said
    runs = json.loads(far.dbt_flow("history", "shop", "--json"))["runs"]
    assert any(line["run"] == "Shop/argo-shop-other" and "other versions" in line["reason"] for line in runs)
