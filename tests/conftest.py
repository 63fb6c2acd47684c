"""What every test shares: the marker of tests that drive a real browser, and how tests are spread over workers."""

from __future__ import annotations

from typing import Any

import pytest

DRIVERS = {"in_browser", "chromium"}
"""Functions and fixtures that start Chromium."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark ``browser`` every test that starts Chromium, so that no test need remember to."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if DRIVERS & {*item.fixturenames, *item.function.__code__.co_names}:
            item.add_marker("browser")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file go to one worker: runs of dbt are dear, and a file's tests share them."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - there may be no xdist

    return LoadFileScheduling(config, log)
