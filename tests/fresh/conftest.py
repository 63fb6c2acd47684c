"""A shop with a source that is as fresh as a test wants it to be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from landing import SOURCES
from shop import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    fresh = {"select": "stg_landed", "require_fresh": "source:raw"}
    opened = open_shop(
        tmp_path_factory.mktemp("fresh"),
        bad=("amount", "orphan"),
        dags={
            "strict": fresh,
            "lenient": {**fresh, "require_fresh": {"select": "source:raw.landed", "otherwise": "skip"}},
            "nothing_to_ask": {**fresh, "require_fresh": "source:raw.never_asked"},
            "soft": {"select": "+totals", "tests": {"on_fail": "warn", "exclude": "test_name:relationships"}},
            "hard": {"select": "+totals"},
        },
    )
    (opened.folder / "models/sources.yml").write_text(SOURCES)
    (opened.folder / "models/stg_landed.sql").write_text("select id from {{ source('raw', 'landed') }}\n")
    yield opened
    opened.close()
