"""A disk that is full, at three moments of a run: one clear message, never green, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop

IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
"""Lets anybody mount a small disk that nobody else sees, where the system allows it."""


def mounts() -> bool:
    """Whether a tmpfs can be mounted here, in a namespace of its own."""
    prefix = IN_A_NAMESPACE if os.getuid() else ("unshare", "--mount")
    try:
        done = subprocess.run([*prefix, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


pytestmark = pytest.mark.skipif(sys.platform != "linux" or not mounts(), reason="no small disk can be mounted here")


@pytest.fixture
def disk(shop: Shop) -> Iterator[Path]:
    folder = shop.folder / "disk"
    folder.mkdir(exist_ok=True)
    yield folder


@pytest.mark.parametrize(("kilobytes", "codes"), [(12, {1, 2}), (120, {2}), (600, {1, 2})])
def test_it_is_one_clear_message(shop: Shop, disk: Path, kilobytes: int, codes: set[int]) -> None:
    """12: not even the attempt's log; 120: dbt's own files; 600: the manifest, or the nodes' log."""
    command = " ".join([f"mount -t tmpfs -o size={kilobytes}k tmpfs {disk} &&", "exec", *map(repr, shop.command())])
    prefix = IN_A_NAMESPACE if os.getuid() else ("unshare", "--mount")
    ran = shop.start(*prefix, "sh", "-c", command, env={"DBT_FLOW_STATE": str(disk)}).end()
    assert ran.code in codes, ran.stdout + ran.stderr
    told = ran.json
    assert told.get("status", "failed") == "failed"
    [error] = told["errors"] if "errors" in told else [told["error"]]
    assert error["code"] == "disk-full", error
    assert error["message"].startswith("no space left"), error
    assert error["hint"]
    assert "Traceback" not in ran.stderr
    assert shop.none_left() == []
