"""The story of :mod:`deploy_story` on Argo Workflows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from deploy_story import DeployStory
from stands import ArgoStand, argo_stand


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoStand]:
    with argo_stand(tmp_path_factory.mktemp("stand")) as opened:
        yield opened


class TestDeploy(DeployStory):
    pass
