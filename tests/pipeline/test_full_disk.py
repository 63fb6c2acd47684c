"""A disk that is full, at three moments of a run: one clear message, never green, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Ran, Shop

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


@pytest.mark.parametrize(("kilobytes", "codes"), [(12, {1, 2}), (120, {2})])
def test_it_is_one_clear_message(shop: Shop, disk: Path, kilobytes: int, codes: set[int]) -> None:
    """12: not even the attempt's log; 120: dbt's own files."""
    ran = on_a_disk(shop, disk, kilobytes, "true")
    assert ran.code in codes, ran.stdout + ran.stderr
    is_told(ran)
    assert shop.none_left() == []


def test_it_fills_up_while_nodes_are_built(shop: Shop, disk: Path) -> None:
    ended = f"cat {disk}/runs/*/*/*/attempt-0.jsonl 2>/dev/null | wc -l"
    filler = f"for i in $(seq 6000); do [ $({ended}) -gt 2 ] && break; sleep 0.01; done; head -c 20M /dev/zero > {disk}/filler"
    ran = on_a_disk(shop, disk, 8000, filler)
    assert ran.code == 1, ran.stdout + ran.stderr
    is_told(ran)
    assert ran.json["nodes"], "what was planned is told"
    assert shop.none_left() == []


def on_a_disk(shop: Shop, disk: Path, kilobytes: int, meanwhile: str) -> Ran:
    """A run with its state on a disk of this size, and a shell command that sees the disk beside it."""
    command = f"mount -t tmpfs -o size={kilobytes}k tmpfs {disk} && {{ ({meanwhile}) 2>/dev/null & }}; exec"
    prefix = IN_A_NAMESPACE if os.getuid() else ("unshare", "--mount")
    return shop.start(
        *prefix, "sh", "-c", " ".join([command, *map(repr, shop.command())]), env={"DBT_FLOW_STATE": str(disk)}
    ).end()


def is_told(ran: Ran) -> None:
    told = ran.json
    assert told.get("status", "failed") == "failed"
    [error] = told["errors"] if "errors" in told else [told["error"]]
    assert error["code"] == "disk-full", error
    assert error["message"].startswith("no space left"), error
    assert error["hint"]
    assert "Traceback" not in ran.stderr
