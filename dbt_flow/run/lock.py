"""One process holds a DuckDB file: every opener of ours takes one advisory lock first, and who waits says for whom."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dbt_flow.errors import StateError


@contextmanager
def database_lock(database: Path | None, who: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a DuckDB file, beside it; nothing to do for other databases (None).

    The system drops the lock when its holder dies, ``kill -9`` included. ``waiting`` is called with a sentence when somebody
    else holds it, once for each holder.
    """
    if database is None:
        yield
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(database.parent / f".{database.name}.lock")
        _acquire(lock, database, waiting)
    except OSError as error:
        hint = f"make the folder of {database.name} writable for this user"
        raise StateError("disk-full", f"cannot lock the DuckDB file: {error}", hint=hint) from error
    note = _note(database)
    with suppress(OSError):
        note.write_text(json.dumps({"who": who, "pid": os.getpid()}))
    try:
        yield
    finally:
        try:
            _close_database()
        finally:
            with suppress(OSError):
                note.unlink()
            lock.release()


def _close_database() -> None:
    """dbt's adapter holds the file open as long as the process lives: whoever has the lock next could not open it."""
    adapter = sys.modules.get("dbt.adapters.duckdb.connections")
    if adapter is not None:
        with suppress(Exception):  # it was never opened, or is closed already
            adapter.DuckDBConnectionManager.env().close()
        adapter.DuckDBConnectionManager.close_all_connections()


def _acquire(lock: FileLock, database: Path, waiting: Callable[[str], None]) -> None:
    told = ""
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            holder = _holder(database)
            if holder != told:
                waiting(f"waiting for {database.name}, held by {holder}")
                told = holder
            time.sleep(0.1)


def _holder(database: Path) -> str:
    try:
        note = json.loads(_note(database).read_text())
        return f"{note['who']} (process {note['pid']})"
    except (OSError, ValueError, KeyError):
        return "another process"


def _note(database: Path) -> Path:
    return database.parent / f".{database.name}.holder"
