"""The page of ``plan --open`` and the SVG of ``plan --graph`` in a real browser: searched, zoomed, at a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import card_plan
import devtools
import pytest

from dbt_flow.plan.planned import Decision
from dbt_flow.report.plan_drawing import drawn, page, svg

LIT = "[...document.querySelectorAll('svg.lit .n.on')].map(n => n.dataset.n)"
ODD = 'risk <b>& "report"</b>'


@pytest.fixture(scope="module")
def chromium() -> Iterator[devtools.Browser]:
    with devtools.browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("drawings")
    made = card_plan.plan()
    reused = {card_plan.model_id("stg_loads"), card_plan.model_id("lane_codes")}
    decisions = [Decision(node.id, "reuse" if node.id in reused else "run", "because") for node in made.nodes]
    chain = [(card_plan.model_id(name), 2.0) for name in ("stg_crashes", "int_carrier_history", "carrier_safety")]
    drawing = drawn(made, decisions, chain)
    texts = {"page.html": page(drawing, ODD, "13 models", "What it is for"), "plan.svg": svg(drawing, ODD, "13 models")}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: folder / name for name in texts}


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_is_searched_and_zoomed(chromium: devtools.Browser, files: dict[str, Path], width: int, dark: bool) -> None:
    chromium.events.clear()
    chromium.open(files["page.html"], width, dark=dark)
    assert chromium.run("document.documentElement.dataset.error") is None
    assert chromium.complaints() == []
    assert chromium.run("document.querySelector('h1').textContent") == ODD
    assert chromium.run("document.documentElement.scrollWidth <= window.innerWidth") is True
    before = chromium.run("+document.querySelector('svg.graph').getAttribute('width')")
    chromium.click("[data-zoom='+']")
    assert chromium.run("+document.querySelector('svg.graph').getAttribute('width')") > before
    chromium.click("#graph-q")
    chromium.type("carrier_features")
    assert chromium.run(LIT) == ["carrier_features"]


def test_the_keys_of_the_legend_show_one_decision(chromium: devtools.Browser, files: dict[str, Path]) -> None:
    chromium.open(files["page.html"])
    chromium.click(".key[data-status='is reused']")
    assert sorted(chromium.run(LIT)) == ["lane_codes", "stg_loads"]


def test_the_critical_path_is_bold_and_nothing_else(chromium: devtools.Browser, files: dict[str, Path]) -> None:
    chromium.open(files["page.html"])
    bold = "[...document.querySelectorAll('.n.crit')].map(n => n.dataset.n).sort()"
    assert chromium.run(bold) == ["carrier_safety", "int_carrier_history", "stg_crashes"]
    assert chromium.run("document.querySelectorAll('.edges path.crit').length") == 2


def test_the_svg_stands_by_itself_in_both_colours(chromium: devtools.Browser, files: dict[str, Path]) -> None:
    grounds = []
    for dark in (False, True):
        chromium.events.clear()
        chromium.open(files["plan.svg"], dark=dark)
        assert chromium.complaints() == []
        grounds.append(chromium.run("getComputedStyle(document.querySelector('.bg')).fill"))
        assert chromium.run("document.querySelector('.gt').textContent") == ODD
    assert len(set(grounds)) == 2
