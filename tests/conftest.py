"""What every test shares: the marker of tests that drive a real browser, and how tests are spread over workers."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from typing import Any

import pytest

DRIVERS = {"in_browser", "chromium"}
"""Functions and fixtures that start Chromium."""


_HANGS_AFTER = 1500.0  # seconds; the longest tests, real chains of flows, take two minutes on a quiet machine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that hangs ends its worker, with a traceback of every thread, and is told as failed; the others go on."""
    faulthandler.dump_traceback_later(_HANGS_AFTER, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


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
