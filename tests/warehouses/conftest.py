"""The two servers, one of each for a worker's tests; each shop has a database of its own there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from servers import fakesnow, postgres


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL here; on Debian: apt-get install postgresql")
    with postgres.server(connections=60) as port:
        yield port


@pytest.fixture(scope="session")
def fakesnow_port() -> Iterator[int]:
    with fakesnow.server() as port:
        yield port


@pytest.fixture(scope="session")
def a_database(postgres_port: int) -> Callable[[], postgres.Database]:
    """A new, empty database on PostgreSQL."""
    return lambda: postgres.Database(postgres_port).sibling(f"shop_{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="session")
def a_snow(fakesnow_port: int) -> Callable[[], fakesnow.Snow]:
    """A new, empty database on fakesnow."""
    return lambda: fakesnow.Snow(fakesnow_port, f"SHOP_{uuid.uuid4().hex[:8].upper()}").created()
