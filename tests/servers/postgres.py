"""A PostgreSQL server of one's own: a temporary folder, a free loopback port, ended with the block. Also for benchmarks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

USER = "bench"
"""The server's superuser, who needs no password."""


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``postgres``, as Debian or a PATH has it; None when PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


@dataclass(frozen=True)
class Database:
    """One database of the server."""

    port: int
    name: str = "postgres"

    def output(self, **more: Any) -> dict[str, Any]:
        """An output of a dbt profile that builds into it."""
        found = {"type": "postgres", "host": "127.0.0.1", "port": self.port, "user": USER, "password": "", "dbname": self.name}
        return {**found, "schema": "dev", "threads": 4, "connect_timeout": 30, **more}

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement and give its rows."""
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user=USER, dbname=self.name)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def sibling(self, name: str) -> Database:
        """A new, empty database beside it."""
        self.sql(f'create database "{name}"')
        return Database(self.port, name)


@contextmanager
def server(connections: int = 150, settings: Mapping[str, Any] | None = None) -> Iterator[int]:
    """Start a server and give its port.

    :raises RuntimeError: PostgreSQL is not installed, or does not start.
    """
    programs = binaries()
    if programs is None:
        raise RuntimeError("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    # It refuses to run as root.
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres", "postgres")
    data = str(folder / "data")
    port = _free_port()
    make = [*as_user, str(programs / "initdb"), "-D", data, "-U", USER, "--auth=trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd="/")
    words = {
        "max_connections": connections,
        "fsync": "off",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": folder,
        **(settings or {}),
    }
    process = subprocess.Popen(
        [*as_user, str(programs / "postgres"), "-D", data, "-p", str(port), *_flags(words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        _wait(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGINT)  # a fast end: open connections are cut
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _flags(words: Mapping[str, Any]) -> list[str]:
    return [word for name, value in words.items() for word in ("-c", f"{name}={value}")]


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended with {process.returncode}")
        try:
            Database(port).sql("select 1")
            return
        except psycopg2.OperationalError:
            time.sleep(0.1)
    raise RuntimeError("PostgreSQL did not start")


def _free_port() -> int:
    with socket.socket() as knock:
        knock.bind(("127.0.0.1", 0))
        return int(knock.getsockname()[1])
