"""The example on Snowflake (fakesnow): its generator loads it, its DAGs build it, and all end as in dbt."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers.fakesnow import Snow
from shop import Ran, Shop, Started
from warehouse_shop import FAKESNOW

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns("target", "logs", "*.duckdb*", ".*", "__pycache__")
DAGS = ("carrier_reference", "carrier_safety", "carrier_risk")


@dataclass
class Example:
    """A copy of the example with its DAG files, whose profile leads to fakesnow."""

    shop: Shop
    snow: Snow
    env: Mapping[str, str]

    def start(self, *words: str) -> Started:
        return self.shop.start(sys.executable, *words, env=self.env)

    def load(self, *words: str) -> Ran:
        given = ("--target", "snowflake", "--scale", "0.02", "--as-of", "2026-11-20")
        return self.start("dbt_project/raw_data/generate.py", *given, *words).end()

    def run(self, dag: str) -> Ran:
        return self.start("-m", "dbt_flow", "run", dag, "--target", "snowflake", "--json").end()

    def dbt_build(self, *words: str) -> dict[str, str]:
        """Plain dbt, statuses by id."""
        where = {"project-dir": "dbt_project", "profiles-dir": "dbt_project", "target-path": str(self.shop.folder / "target")}
        there = [f"--{name}={value}" for name, value in where.items()] + ["--target=snowflake"]
        return self.shop.dbt_build(*there, *words, env=self.env)


@pytest.fixture(scope="module")
def example(a_snow: Callable[[], Snow], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    shop, snow = Shop(tmp_path_factory.mktemp("freight")), a_snow()
    for part in ("dbt_project", "dags"):
        shutil.copytree(ROOT / part, shop.folder / part, ignore=LEFT_OUT)
    shutil.copy(ROOT / "dbt_flow.yml", shop.folder)
    # What leads to fakesnow instead of an account, and what fakesnow cannot do, stand in the copy alone.
    profiles = shop.folder / "dbt_project/profiles.yml"
    there = f"type: snowflake\n      host: 127.0.0.1\n      port: {snow.port}\n      protocol: http\n      insecure_mode: true"
    profiles.write_text(profiles.read_text().replace("type: snowflake", there))
    (shop.folder / "dbt_project/macros/fakesnow.sql").write_text(FAKESNOW)
    said = {"ACCOUNT": "fakesnow", "USER": "tester", "WAREHOUSE": "SMALL", "ROLE": "SYSADMIN", "DATABASE": snow.database}
    env = {f"FREIGHT_SNOWFLAKE_{name}": value for name, value in said.items()}
    yield Example(shop, snow, {**env, "DBT_ENV_SECRET_FREIGHT_SNOWFLAKE_PASSWORD": "any"})
    shop.close()


def statuses(*runs: Ran) -> dict[str, str]:
    return {node["id"]: node["status"] for ran in runs for node in ran.json["nodes"]}


def test_its_dags_end_as_dbt_build_on_good_data(example: Example) -> None:
    loaded = example.load()
    assert loaded.code == 0, loaded.stderr
    assert f"into Snowflake, database {example.snow.database}" in loaded.stdout
    runs = [example.run(dag) for dag in DAGS]
    assert [(ran.code, ran.json["target"]) for ran in runs] == [(0, "snowflake")] * 3, [ran.stderr for ran in runs]
    plain = example.dbt_build()
    assert plain.pop("exposure.freight.train_carrier_risk") == "no-op", "what no DAG builds"
    assert statuses(*runs) == plain
    assert set(plain.values()) == {"success", "pass"}
    assert example.snow.sql("select count(*) from analytics.mart_carrier_risk")[0][0] > 0


def test_a_dag_ends_as_dbt_build_on_broken_data(example: Example) -> None:
    loaded = example.load("--break", "not_null,warn,missing_table")
    assert loaded.code == 0, loaded.stderr
    ran = example.run("carrier_safety")
    assert (ran.code, ran.json["status"]) == (1, "failed")
    assert statuses(ran) == example.dbt_build("--selector", "carrier_safety")
    assert {"error", "fail", "warn", "skipped"} < set(ran.json["counts"])
    crashes = next(node for node in ran.json["nodes"] if node["id"] == "model.freight.stg_roadside__crashes")
    assert crashes["reason"].startswith("it is not there, or the role cannot see it")


def test_the_generator_says_when_it_cannot_log_in(example: Example) -> None:
    example.env = {**example.env, "FREIGHT_SNOWFLAKE_ACCOUNT": "", "FREIGHT_SNOWFLAKE_KEY_PATH": "/no/such/key.p8"}
    done = example.load()
    assert done.code == 1
    assert "cannot load for target snowflake: " in done.stderr
    assert "export FREIGHT_SNOWFLAKE_ACCOUNT=..." in done.stderr
    assert "private_key_path: /no/such/key.p8 cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
