"""The example on Snowflake (fakesnow): its generator loads it, its DAGs build it, and all end as in dbt."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from freight_example import DAGS, Example, example_in, statuses
from servers.fakesnow import Snow
from warehouse_shop import FAKESNOW


@pytest.fixture(scope="module")
def snow(a_snow: Callable[[], Snow]) -> Snow:
    return a_snow()


@pytest.fixture(scope="module")
def example(snow: Snow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    said = {"ACCOUNT": "fakesnow", "USER": "tester", "WAREHOUSE": "SMALL", "ROLE": "SYSADMIN", "DATABASE": snow.database}
    env = {f"FREIGHT_SNOWFLAKE_{name}": value for name, value in said.items()}
    env["DBT_ENV_SECRET_FREIGHT_SNOWFLAKE_PASSWORD"] = "any"
    found = example_in(tmp_path_factory.mktemp("freight"), "snowflake", env)
    folder = found.shop.folder / "dbt_project"
    # What leads to fakesnow instead of an account, and what fakesnow cannot do, stand in the copy alone.
    profiles = folder / "profiles.yml"
    there = f"type: snowflake\n      host: 127.0.0.1\n      port: {snow.port}\n      protocol: http\n      insecure_mode: true"
    profiles.write_text(profiles.read_text().replace("type: snowflake", there))
    (folder / "macros/fakesnow.sql").write_text(FAKESNOW)
    yield found
    found.shop.close()


def test_its_dags_end_as_dbt_build_on_good_data(example: Example, snow: Snow) -> None:
    loaded = example.load()
    assert loaded.code == 0, loaded.stderr
    assert f"into Snowflake, database {snow.database}" in loaded.stdout
    runs = [example.run(dag) for dag in DAGS]
    assert [(ran.code, ran.json["target"]) for ran in runs] == [(0, "snowflake")] * 3, [ran.stderr for ran in runs]
    plain = example.dbt_build()
    assert plain.pop("exposure.freight.train_carrier_risk") == "no-op", "what no DAG builds"
    assert statuses(*runs) == plain
    assert set(plain.values()) == {"success", "pass"}
    assert snow.sql("select count(*) from analytics.mart_carrier_risk")[0][0] > 0


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
