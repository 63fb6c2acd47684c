"""A stand for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from stand import Stand


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: shop\n")
    (tmp_path / "dbt_flow.yml").write_text("owners: {team: {}}\n")
    return Stand(tmp_path)
