"""The example, loaded into PostgreSQL by its own generator and built there as it is."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from servers.postgres import USER, Database
from shop import Shop

PROJECT = Path(__file__).parents[2] / "dbt_project"
LEFT_OUT = shutil.ignore_patterns("target", "logs", "*.duckdb*", ".*", "__pycache__")


def test_the_whole_example_is_good_on_postgresql(a_database: Callable[[], Database], tmp_path: Path) -> None:
    database = a_database()
    shop = Shop(tmp_path / "freight")
    shutil.copytree(PROJECT, shop.folder, ignore=LEFT_OUT)
    shop.dag("everything", select="fqn:*", target="postgres")
    there = {"HOST": "127.0.0.1", "PORT": str(database.port), "USER": USER, "DATABASE": database.name}
    env = {f"FREIGHT_POSTGRES_{name}": value for name, value in there.items()}
    load = ["raw_data/generate.py", "--target", "postgres", "--scale", "0.02", "--as-of", "2026-11-20"]
    loaded = shop.start(sys.executable, *load, env=env).end()
    assert loaded.code == 0, loaded.stderr
    assert f"into PostgreSQL, database {database.name}" in loaded.stdout
    ran = shop.run("everything", env=env)
    shop.close()
    assert ran.code == 0, ran.stderr
    assert set(ran.json["counts"]) <= {"success", "pass", "warn", "no-op"}
    assert ran.json["target"] == "postgres"
    assert database.sql("select count(*) from analytics.mart_carrier_risk")[0][0] > 0


def test_the_generator_says_when_postgresql_does_not_let_it_in(a_database: Callable[[], Database], tmp_path: Path) -> None:
    database = a_database()
    env = {"FREIGHT_POSTGRES_HOST": "127.0.0.1", "FREIGHT_POSTGRES_PORT": str(database.port), "FREIGHT_POSTGRES_USER": "nobody"}
    tmp_path.mkdir(exist_ok=True)
    load = [str(PROJECT / "raw_data/generate.py"), "--target", "postgres", "--scale", "0.01", "--as-of", "2026-11-20"]
    done = Shop(tmp_path).start(sys.executable, *load, env=env).end()
    assert done.code == 1
    assert "cannot load for target postgres" in done.stderr
    assert "Traceback" not in done.stderr
