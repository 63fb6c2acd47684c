"""What every test shares: the marker of tests that drive a real browser."""

from __future__ import annotations

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
