"""The recorded walk of the README: an SVG that loads nothing, in light and dark, and still for who wants it still."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

IMAGES = Path(__file__).parents[2] / "docs/images"


@pytest.fixture(scope="module")
def walk() -> ModuleType:
    spec = importlib.util.spec_from_file_location("walk", IMAGES / "walk.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    import sys  # noqa: PLC0415 - dataclasses look their module up

    sys.modules["walk"] = module
    spec.loader.exec_module(module)
    return module


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_film_shows_each_line_in_its_colour_when_it_came(walk: ModuleType) -> None:
    said = ["\x1b[1;31m✕ a & <b>\x1b[0m", "[1/2] fail  x 0.1s, 5 failing rows", "y" * 200]
    lines = [walk.Said(1.0 + at, walk.cut(text)) for at, text in enumerate(said)]
    svg = walk.film(lines)
    assert texts(svg) == ["✕ a & <b>", "[1/2] fail  x 0.1s, 5 failing rows", "y" * (walk.COLUMNS - 1) + "…"]
    assert '<tspan class="b r">✕ a &amp; &lt;b&gt;</tspan>' in svg
    assert '<tspan class="r">[1/2] fail' in svg
    moments = [
        float(at) for at in re.findall(r"([\d.]+)%\{transform:translateY\(\d+px\)", svg.partition("@keyframes cover")[2])
    ]
    assert moments == sorted(moments)
    assert len(moments) == len(lines)


def test_the_one_that_is_there_shows_the_commands_and_loads_nothing(walk: ModuleType) -> None:
    svg = (IMAGES / "walk.svg").read_text(encoding="utf-8")
    shown = texts(svg)
    assert [line for line in shown if line.startswith("$ ")] == [f"$ {command}" for command in walk.COMMANDS]
    assert not re.search(r"(href|src)=|@import|url\((?!#)|<script", svg)
    assert "prefers-color-scheme:dark" in svg
    assert "prefers-reduced-motion" in svg
    assert not [line for line in shown if "/tmp" in line or "Traceback" in line]
