"""Snowflake without Snowflake: fakesnow's server on loopback, which dbt-snowflake reaches through the real connector."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import snowflake.connector
from servers.environments import program

ALTERED = """
create or replace view {0}._fs_information_schema._fs_tables as
select database_name as table_catalog, schema_name as table_schema, table_name, 'BASE TABLE' as table_type,
  to_timestamp(1700000000 + table_oid) as last_altered from duckdb_tables
where database_name = '{0}' and schema_name <> '_fs_information_schema'
union all
select database_name, schema_name, view_name, 'VIEW', to_timestamp(1700000000 + view_oid) from duckdb_views
where database_name = '{0}' and schema_name <> '_fs_information_schema'
"""
"""fakesnow says of every table that it was last altered in 1970, and nothing of views. With this it says another time for each
that is made; to tell that rows came or went is beyond it."""


@dataclass(frozen=True)
class Snow:
    """One database on the server."""

    port: int
    database: str = "SHOP"

    def output(self, **more: Any) -> dict[str, Any]:
        """An output of a dbt profile that builds into it."""
        found = {"type": "snowflake", "database": self.database, "schema": "dev", "threads": 4, **self._login()}
        return {**found, "insecure_mode": True, **more}

    def _login(self) -> dict[str, Any]:
        place: dict[str, Any] = {"account": "fakesnow", "host": "127.0.0.1", "port": self.port, "protocol": "http"}
        return {**place, "user": "tester", "password": "any", "warehouse": "SMALL", "role": "SYSADMIN"}

    def created(self) -> Snow:
        """Itself, once the database is there."""
        with snowflake.connector.connect(**self._login()) as connection:
            for statement in ("create database {0}", "create schema {0}.told", "use schema {0}.told", ALTERED):
                connection.cursor().execute(statement.format(self.database))
        return self

    def sql(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and give its rows; with rows of values, once for each."""
        with snowflake.connector.connect(database=self.database, **self._login()) as connection:
            cursor = connection.cursor()
            if values:
                cursor.executemany(statement, values)
                return []
            return [tuple(row) for row in cursor.execute(statement).fetchall()]  # type: ignore[union-attr]


@contextmanager
def server() -> Iterator[int]:
    """Start a server and give its port; skips the test where fakesnow is not set up."""
    fakesnow = program("fakesnow", "fakesnow")
    folder = Path(tempfile.mkdtemp(prefix="fakesnow-"))
    with socket.socket() as knock:
        knock.bind(("127.0.0.1", 0))
        port = int(knock.getsockname()[1])
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(fakesnow), "-s", "-p", str(port), "-d", str(folder)],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
    try:
        _wait(port, process)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # it waits for connections that nobody closes
            process.kill()
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"fakesnow ended with {process.returncode}")
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("fakesnow did not start")
