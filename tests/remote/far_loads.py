"""A small project on a PostgreSQL that asks for its password, deployed to a cluster: state, artifacts and cards are in S3.

The password is in the cluster's secret and in this machine's environment, nowhere else. ``told.told`` says how long ``slow``
takes, and whether it fails.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pod import Cluster, python_without_the_checkout
from servers import postgres
from servers.moto import BUCKET, Moto, moto_server
from shop import Ran, Shop

PASSWORD = "pa55word-of-the-loads-5526"
VARIABLE = "DBT_ENV_SECRET_LOADS_PASSWORD"
SETTINGS = f"""
state: s3://{BUCKET}/state
remote: {{secrets: [loads/warehouse], variables: [LOADS_PORT]}}
"""
PROFILE = f"""
loads:
  target: warehouse
  outputs:
    warehouse:
      type: postgres
      host: 127.0.0.1
      port: "{{{{ env_var('LOADS_PORT') | as_number }}}}"
      user: loader
      password: "{{{{ env_var('{VARIABLE}') }}}}"
      dbname: loads
      schema: dev
      threads: 2
"""
NOTICES = {"client_connection_check_interval": "1s"}
"""What a killed client was about is not worked on for long; its locks would keep others waiting."""
TABLE = "{{ config(materialized='table') }} "
FILES = {
    "dbt_project.yml": "name: loads\nprofile: loads\nversion: '1.0'\nflags: {send_anonymous_usage_stats: false}\n",
    "profiles.yml": PROFILE,
    "dbt_flow.yml": SETTINGS,
    "seeds/landed.csv": "id,miles\n1,100\n2,250\n",
    "models/loads.sql": TABLE + "select id, miles from {{ ref('landed') }}",
    "models/slow.sql": TABLE
    + "select id, 1 / (case when t.fail then 0 else 1 end) as one, cast(pg_sleep(t.seconds) as varchar) as slept "
    "from {{ ref('loads') }} cross join told.told t",
    "models/after_slow.sql": TABLE + "select id, '{{ var(\"as_of\", \"never\") }}' as as_of from {{ ref('slow') }}",
    "models/schema.yml": "models:\n- name: loads\n  columns: [{name: id, data_tests: [unique, not_null]}]\n",
}
DAGS = {
    "loads": {"select": "*", "params": {"as_of": {"type": "str", "default": "today"}}},
    "apart": {"select": "*", "isolate": "slow"},
}


@dataclass
class Loads:
    """The project, where it is deployed from, and the servers that it uses."""

    shop: Shop
    aws: Moto
    database: postgres.Database
    cluster: Cluster
    env: dict[str, str]

    def said(self, *words: str) -> Ran:
        """A command of this machine."""
        return self.shop.start(sys.executable, "-m", "dbt_flow", *words, env=self.env).end()

    def told(self, seconds: float = 0, *, fail: bool = False) -> None:
        """What ``slow`` does from now on."""
        self.database.sql("update told.told set seconds = %s, fail = %s", seconds, fail)

    def deployed(self, dag: str) -> Cluster:
        """The cluster, with what ``argo-workflows create`` makes of the DAG."""
        done = self.shop.start(*self.shop.metaflow(dag, "argo-workflows", "create", "--only-json"), env=self.env).end()
        assert done.code == 0, done.stderr
        mine = self.cluster
        return Cluster(json.loads(done.stdout), mine.folder, mine.programs, mine.packages, mine.variables)

    def history(self, dag: str) -> dict[str, str]:
        """Statuses of the runs of a DAG, by run."""
        said = self.said("history", dag, "--json")
        assert said.code == 0, said.stderr
        return {line["run"]: line["status"] for line in said.json["runs"]}


@contextmanager
def loads_on_a_cluster(folder: Path) -> Iterator[Loads]:
    """Everything of it, until the block ends; skips where PostgreSQL or moto is missing."""
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL here; on Debian: apt-get install postgresql")
    with moto_server(folder) as aws, postgres.server(30, NOTICES) as port:
        database = postgres.Database(port).sibling("loads")
        database.sql(f"create role loader login password '{PASSWORD}'")
        database.sql("grant create on database loads to loader")
        database.sql("create schema told")
        database.sql("create table told.told as select 0::float8 as seconds, false as fail")
        database.sql("grant usage on schema told to loader")
        database.sql("grant select on told.told to loader")
        [(rules,)] = database.sql("show hba_file")
        asked = ["host all loader 127.0.0.1/32 scram-sha-256", "host all all 127.0.0.1/32 trust"]
        rows = " union all ".join(f"select '{line}'" for line in asked)
        database.sql(f"copy ({rows}) to '{rules}'")
        database.sql("select pg_reload_conf()")
        shop = Shop(folder / "loads")
        for name, text in FILES.items():
            (shop.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (shop.folder / name).write_text(text)
        for name, keys in DAGS.items():
            shop.dag(name, **keys)
        aws.client("secretsmanager").create_secret(Name="loads/warehouse", SecretString=json.dumps({VARIABLE: PASSWORD}))
        there = {**aws.s3_datastore, "METAFLOW_DEFAULT_SECRETS_BACKEND_TYPE": "aws-secrets-manager"}
        programs, packages = python_without_the_checkout(folder / "image")
        # Its processes are none that could be looked for on this machine.
        (packages / "sitecustomize.py").write_text("import socket\nsocket.gethostname = lambda: 'a-pod'\n")
        here = {**there, VARIABLE: PASSWORD, "LOADS_PORT": str(port)}
        yield Loads(shop, aws, database, Cluster({}, folder, programs, packages, there), here)
        shop.close()
