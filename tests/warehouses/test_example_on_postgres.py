"""The example on PostgreSQL: loaded by its own generator, built node by node as by dbt, reused, isolated, broken, retried."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from freight_example import Example, example_in, statuses
from servers.postgres import USER, Database

APART = "int_carriers__insurance_summary"
EXPOSURE = "exposure.freight.train_carrier_risk"


@pytest.fixture(scope="module")
def database(a_database: Callable[[], Database]) -> Database:
    return a_database()


@pytest.fixture(scope="module")
def example(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    there = {"HOST": "127.0.0.1", "PORT": str(database.port), "USER": USER, "DATABASE": database.name}
    env = {f"FREIGHT_POSTGRES_{name}": value for name, value in there.items()}
    found = example_in(tmp_path_factory.mktemp("freight"), "postgres", env)
    found.shop.dag("everything", owner="risk-analytics", select="fqn:*", isolate=APART, reuse="unchanged")
    yield found
    found.shop.close()


def test_good_data_end_as_in_dbt_build_and_then_hold(example: Example, database: Database) -> None:
    loaded = example.load()
    assert loaded.code == 0, loaded.stderr
    assert f"into PostgreSQL, database {database.name}" in loaded.stdout
    ran = example.run("everything")
    assert (ran.code, ran.json["target"]) == (0, "postgres"), ran.stderr
    assert statuses(ran) == example.dbt_build()
    assert database.sql("select count(*) from analytics.mart_carrier_risk")[0][0] > 0
    again = example.run("everything")
    assert again.code == 0, again.stderr
    built = {node for node, status in statuses(again).items() if status != "reused"}
    assert {"model.freight.fct_trips", "snapshot.freight.snap_carriers"} < built, "they read what they build: once more"
    assert not {node for node in built if APART in node or ".stg_" in node or node.startswith("seed.")}
    told = example.start("-m", "dbt_flow", "plan", "everything", "--target", "postgres", "--json").end()
    assert told.code == 0, told.stderr
    assert [node["id"] for node in told.json["nodes"] if node["decision"] != "reuse"] == [EXPOSURE]


def test_broken_data_end_as_in_dbt_build_and_a_retry_mends_them(example: Example) -> None:
    loaded = example.load("--break", "not_null,warn,missing_table")
    assert loaded.code == 0, loaded.stderr
    ran = example.run("everything", "--no-reuse")
    assert (ran.code, ran.json["status"]) == (1, "failed"), ran.stderr
    found = statuses(ran)
    assert found == example.dbt_build()
    assert {"error", "fail", "skipped", "warn", "success", "pass"} <= set(found.values())
    assert example.load().code == 0
    mended = example.start("-m", "dbt_flow", "retry", ran.json["run"], "--json").end()
    assert mended.code == 0, mended.stderr
    bad = {node for node, status in found.items() if status in ("error", "fail", "skipped")}
    built = {node for node, status in statuses(mended).items() if status != "reused"}
    assert bad <= built < set(found)


def test_the_generator_says_when_postgresql_does_not_let_it_in(example: Example) -> None:
    example.env = {**example.env, "FREIGHT_POSTGRES_USER": "nobody"}
    done = example.load()
    assert done.code == 1
    assert "cannot load for target postgres" in done.stderr
    assert "Traceback" not in done.stderr
