"""A clean environment for telling: none of Datadog's variables, no secret of another test's."""

from __future__ import annotations

import os

import pytest

from dbt_flow import redact


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("DD_", "DATADOG_", "DBT_FLOW_", "DBT_ENV_SECRET")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(redact, "_learnt", set())
    redact.refresh()
