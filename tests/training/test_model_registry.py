"""The registry: complete before it is seen, switched in one step, never what was not trained."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
from model_registry import Registry


def about(model: bytes, kind: str) -> dict[str, str]:
    return {"kind": kind, "digest": hashlib.sha256(model).hexdigest()}


def test_replacements_and_variants(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "m")
    assert registry.live() is None and registry.variants() == {}
    assert registry.deploy("1", b"one", about(b"one", "replace"))
    assert not registry.deploy("1", b"one", about(b"one", "replace"))  # an event that comes twice deploys once
    assert registry.deploy("2", b"two", about(b"two", "variant"))
    assert registry.live().version == "1" and set(registry.variants()) == {"2"}
    assert registry.deploy("3", b"three", about(b"three", "replace"))
    assert registry.live().model == b"three" and registry.variants()["2"].model == b"two"
    with pytest.raises(ValueError, match="not what was trained"):
        registry.deploy("4", b"four", about(b"five", "replace"))
    assert registry.live().version == "3"
    (tmp_path / "m/versions/3/model.pkl").write_bytes(b"changed")
    with pytest.raises(ValueError, match="damaged"):
        registry.live()
