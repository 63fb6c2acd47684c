"""A shop whose DAGs are run as bare Metaflow flows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shop import Shop, open_shop

DAGS = {
    "dated": {
        "select": "+report",
        "params": {"as_of": {"type": "date", "default": "today"}},
        "tags": ["money"],
        "owner": "bookkeepers",
    },
    "clocked": {"select": "*", "trigger": {"schedule": "0 6 * * 1-5"}, "timezone": "America/Chicago", "retries": 2},
    "woken": {
        "select": "*",
        "trigger": {"event": {"name": "files_landed", "params": {"as_of": "day"}}},
        "params": {"as_of": {"type": "date", "default": "today"}},
    },
    "second": {"select": "*", "trigger": {"after": "dated"}},
    "third_one": {"select": "*", "trigger": {"after": ["dated", "second"]}},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(tmp_path_factory.mktemp("shop"), dags=DAGS)
    yield opened
    opened.close()
