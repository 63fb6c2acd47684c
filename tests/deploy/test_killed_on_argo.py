"""The story of :mod:`killed_story` on Argo Workflows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from killed_story import KilledStory
from stands import ArgoStand, argo_stand


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoStand]:
    with argo_stand(tmp_path_factory.mktemp("stand")) as opened:
        yield opened


class TestKilled(KilledStory):
    pass
