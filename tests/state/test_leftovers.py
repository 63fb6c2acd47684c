"""What the dead have left is swept; what others work on, on this machine or another, is left alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dbt_flow.pipeline.isolation import sweep
from dbt_flow.state.leftovers import left_behind, maker
from dbt_flow.state.store import FolderStore


def _name_of_somebody_dead() -> str:
    program = "from dbt_flow.state.leftovers import maker; print(maker())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_the_dead_of_this_machine_alone() -> None:
    assert left_behind(f"{_name_of_somebody_dead()}-orders-x1")
    assert not left_behind(f"{maker()}-orders-x1"), "it works on it"
    for strange in ("", "-", "orders", "12", "12-orders", f"x.{maker().partition('.')[2]}-orders"):
        assert not left_behind(strange), strange


def test_a_number_says_nothing_of_another_machines_process(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = _name_of_somebody_dead()
    monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
    assert not left_behind(f"{dead}-orders-x1"), "it may run there: here its number is nobody's"


def test_what_a_launcher_elsewhere_compiled_stays_in_a_shared_state(tmp_path: Path) -> None:
    """Two machines, one bucket: the launch of one must not take away what the steps of the other's run read."""
    store = FolderStore(tmp_path)
    process = _name_of_somebody_dead().partition(".")[0]
    here, there, deployed = f"{_name_of_somebody_dead()}-1a2b", f"{process}.00000000-1a2b", "deployed-orders-1a2b"
    for key in (here, there, deployed):
        store.put(f"compiled/{key}/plan.json", b"{}")
    sweep(store)
    assert store.list("compiled") == sorted([there, deployed])
