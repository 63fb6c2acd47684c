"""A shop to run things in, one for each module, closed when its tests are over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shop import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(tmp_path_factory.mktemp("shop"))
    yield opened
    opened.close()
