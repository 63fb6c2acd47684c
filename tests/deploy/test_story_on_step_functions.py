"""The story of :mod:`deploy_story` on AWS Step Functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from deploy_story import DeployStory
from stands import StepFunctionsStand, step_functions_stand


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StepFunctionsStand]:
    with step_functions_stand(tmp_path_factory.mktemp("stand")) as opened:
        yield opened


class TestDeploy(DeployStory):
    pass
