"""Whatever is edited between two runs: a run that reuses ends with the same tables as one that builds everything.

A few examples with many edits each. ``DBT_FLOW_LONG=50`` tries fifty, drawn anew each time.
"""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from yard import EDITS, SELECTIONS, Yard

LONG = int(os.environ.get("DBT_FLOW_LONG") or 0)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")


@settings(
    max_examples=LONG or 2,
    derandomize=not LONG,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32), steps=st.just(14 if LONG else 8))
def test_a_reusing_run_ends_with_the_same_tables_as_a_full_one(seed: int, steps: int) -> None:
    draw = random.Random(seed)
    reused = 0
    with tempfile.TemporaryDirectory() as folder:
        yard = Yard(Path(folder))
        yard.both()
        for _ in range(steps):
            said = [draw.choice(EDITS)(yard, draw) for _ in range(draw.choice([1, 1, 2]))]
            select = draw.choice(SELECTIONS)
            note(f"{', '.join(said)}; run {select}")
            yard.write()
            decided = yard.both(select)
            note("  reused: " + ", ".join(sorted(name for name, each in decided.items() if each.decision == "reuse")))
            reused += sum(each.decision == "reuse" for each in decided.values())
    assert reused > steps, "nothing was reused: the property would hold of anything"
