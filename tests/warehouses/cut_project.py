"""A project of many nodes on PostgreSQL, and somebody who cuts its connections at random while it is built."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import yaml
from servers.postgres import USER, Database


def write_project(folder: Path, database: Database, models: int, *, threads: int, seconds: float, seed: int = 7) -> None:
    """Models in layers over each other, each with a test, a number of rows that tells whether it was built once, and a wait.

    A third are tables, a third views, a third incremental by key. ``seconds`` is how long one takes at the least.
    """
    draw = random.Random(seed)
    described: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    for number in range(models):
        name = f"m{number}"
        kind = ("table", "view", "incremental")[number % 3]
        parents = draw.sample(range(number), min(number, draw.randint(1, 3)))
        config = "materialized='incremental', unique_key='id'" if kind == "incremental" else f"materialized='{kind}'"
        reads = " union all ".join(
            ["select 1 as paths", *(f"select paths from {{{{ ref('m{parent}') }}}}" for parent in parents)]
        )
        nap = seconds if kind != "view" else 0
        files[f"models/{name}.sql"] = (
            f"{{{{ config({config}) }}}}\nselect {number} as id, least(sum(paths), 1000000) as paths, max(waited) as waited\n"
            f"from ({reads}) parts\n"
            f"cross join (select case when pg_sleep({nap}) is null then 0 else 1 end as waited) nap\n"
        )
        described.append({"name": name, "columns": [{"name": "id", "data_tests": ["not_null"]}]})
    files["models/all.yml"] = yaml.safe_dump({"models": described})
    project = {"name": "cuts", "version": "1.0", "profile": "cuts", "flags": {"send_anonymous_usage_stats": False}}
    files["dbt_project.yml"] = yaml.safe_dump(project)
    profile = {"target": "dev", "outputs": {"dev": database.output(threads=threads, retries=3)}}
    files["profiles.yml"] = yaml.safe_dump({"cuts": profile})
    files["dags/cuts.yaml"] = "owner: nobody\ntrigger: none\nselect: '*'\n"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


class Cutter:
    """Ends connections that are in the middle of a statement of a node, now and then; those of one node twice at the most."""

    def __init__(self, database: Database, every: float, most: int) -> None:
        self.database, self.every, self.most = database, every, most
        self.cuts: Counter[str] = Counter()
        self._over = threading.Event()

    def work(self) -> None:
        draw = random.Random(3)
        connection = psycopg2.connect(host="127.0.0.1", port=self.database.port, user=USER, dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            while self.cuts.total() < self.most and not self._over.wait(self.every * draw.uniform(0.5, 1.5)):
                cursor.execute(
                    'select pid, substring(query from \'"node_id": "([^"]+)"\') from pg_stat_activity where datname = %s '
                    "and state <> 'idle' and application_name like 'dbt-flow %%'",
                    (self.database.name,),
                )
                found = [(pid, node) for pid, node in cursor.fetchall() if node and self.cuts[node] < 2]
                if found:
                    pid, node = draw.choice(found)
                    cursor.execute("select pg_terminate_backend(%s)", (pid,))
                    self.cuts[node] += 1
        connection.close()

    def stop(self) -> None:
        self._over.set()


@contextmanager
def cutting(database: Database, every: float, most: int) -> Iterator[Cutter]:
    """Cut about one connection each ``every`` seconds, up to ``most``, as long as the block runs."""
    cutter = Cutter(database, every, most)
    worker = threading.Thread(target=cutter.work, daemon=True)
    worker.start()
    try:
        yield cutter
    finally:
        cutter.stop()
        worker.join(30)


def rows_of(database: Database, models: int) -> dict[str, list[tuple[Any, ...]]]:
    """What every model holds."""
    return {f"m{number}": database.sql(f"select id, paths from dev.m{number} order by 1, 2") for number in range(models)}


def left_over(database: Database) -> list[tuple[Any, ...]]:
    """Relations that dbt makes on its way, and that nobody took away."""
    return database.sql("select relname from pg_class where relname like '%%\\_\\_dbt\\_%%' and relkind in ('r', 'v')")
