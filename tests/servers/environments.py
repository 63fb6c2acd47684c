"""Where the environments of the tests' servers are: ``make pytest`` sets them up beside the tests' own packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def program(environment: str, name: str) -> Path:
    """A program of one of the environments ``moto`` and ``fakesnow``; skips the test, with the reason, where there is none."""
    found = Path(sys.prefix) / "servers" / environment / "bin" / name
    if not found.exists():
        pytest.skip(f"no {environment} here: `make pytest` sets it up from tests/servers/{environment}.lock")
    return found
