"""The card in a real browser: clicked, searched, zoomed and driven by keys, at the size of a desk and of a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import card_runs
import devtools
import pytest

from dbt_flow.report.card import card_document, render

LIT = "[...document.querySelectorAll('svg.lit .n.on')].map(n => n.dataset.n)"
ROWS = "[...document.querySelectorAll('#models tbody th')].map(th => th.textContent)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[devtools.Browser]:
    with devtools.browser() as browser:
        yield browser


@pytest.fixture
def show(chromium: devtools.Browser, tmp_path: Path):
    """Opens the card of one of the factory's runs."""

    def opened(name: str, width: int = 1280, **more) -> devtools.Browser:
        file = tmp_path / f"{name}.html"
        file.write_text(render(card_document(*card_runs.ALL[name]())), encoding="utf-8")
        chromium.events.clear()
        chromium.open(file, width, **more)
        if card_runs.ALL[name]()[0] is not None:
            chromium.wait("document.documentElement.dataset.ready === 'true'")
        return chromium

    return opened


@pytest.mark.parametrize("name", [name for name in card_runs.ALL if name != "big"])
def test_tables_fill_and_no_error_appears(name: str, show) -> None:
    page = show(name)
    assert page.run("document.documentElement.dataset.error") is None
    assert page.complaints() == []
    made = card_runs.ALL[name]()[0]
    if made is not None:
        total = sum(not node.is_test for node in made.nodes)
        assert page.run("document.querySelector('[data-table=models]').dataset.rows") == str(total)
        assert len(page.run(ROWS)) == min(total, 100)


def test_tables_filter_and_sort(show) -> None:
    page = show("failing")
    page.click("#models-q")
    page.type("carrier SKIPPED")
    assert page.run(ROWS) == ["int_carrier_history", "carrier_safety", "carrier_features", "carriers_snapshot"]
    page.run(
        "document.querySelector('#models-q').value = ''; document.querySelector('#models-q').dispatchEvent(new Event('input'))"
    )
    page.click("#models thead th:nth-child(5) button")
    assert page.run(ROWS)[0] == "int_loads_by_lane"
    assert page.run("document.querySelectorAll('#models thead th')[4].getAttribute('aria-sort')") == "descending"
    page.click("#tests .chips button")
    assert page.run("document.querySelectorAll('#tests tbody tr').length") == 2


def test_each_query_is_linked_and_found_by_its_id(chromium: devtools.Browser, tmp_path: Path) -> None:
    made, run, more = card_runs.good()
    pages = "https://snow.example/{}/detail"
    queries = ({"id": f"01b2-{at}", "link": pages.format(f"01b2-{at}")} for at in range(len(run.nodes)))
    run = replace(run, nodes=tuple(replace(node, query=query) for node, query in zip(run.nodes, queries, strict=True)))
    (tmp_path / "queries.html").write_text(render(card_document(made, run, more)), encoding="utf-8")
    chromium.open(tmp_path / "queries.html", 1280)
    chromium.wait("document.documentElement.dataset.ready === 'true'")
    last = f"01b2-{len(run.nodes) - 1}"
    table = "tests" if made.by_id[run.nodes[-1].id].is_test else "models"
    chromium.click(f"#{table}-q")
    chromium.type(last)
    assert chromium.run(f"[...document.querySelectorAll('#{table} tbody a')].map(a => a.href)") == [pages.format(last)]
    assert chromium.run("document.documentElement.dataset.error") is None


def test_a_failure_shows_in_the_graph_what_it_reaches(show) -> None:
    page = show("failing")
    page.click(".cause:nth-of-type(2) .show-blast")
    assert set(page.run(LIT)) == {"int_payment_delays", "carrier_features"}
    page.click(".cause:nth-of-type(3) .show-blast")
    assert set(page.run(LIT)) == {"lane_prices", "risk_report", "underwriting"}
    assert "reaches: 3 nodes" in page.run("document.getElementById('graph-said').textContent")
    page.key("Escape")
    assert page.run(LIT) == []


def test_the_graph_is_searched(show) -> None:
    page = show("good")
    page.click("#graph-q")
    page.type("carrier")
    assert len(page.run(LIT)) == 6
    page.key("Enter")
    assert "2 of 6" in page.run("document.getElementById('graph-said').textContent")
    page.key("Escape")
    assert page.run(LIT) == []


def test_the_legend_shows_one_status(show) -> None:
    page = show("failing")
    page.click(".legend .key[data-status=skipped]")
    assert len(page.run(LIT)) == 6
    page.click(".legend .key[data-status=skipped]")
    assert page.run(LIT) == []


def test_the_graph_goes_by_keys(show) -> None:
    page = show("failing")
    page.run("document.querySelector('.n[tabindex=\"0\"]').focus()")
    assert page.run("document.activeElement.dataset.n") == "stg_carriers", "the first failure is where the keys begin"
    assert "risk_report" in page.run(LIT)
    page.key("ArrowRight")
    at = page.run("document.activeElement.dataset.n")
    assert at in ("int_carrier_history", "carriers_snapshot")
    before = page.run("+document.querySelector('.graph').getAttribute('width')")
    page.key("+")
    wider = page.run("+document.querySelector('.graph').getAttribute('width')")
    assert wider > before
    page.key("-")
    page.key("-")
    assert page.run("+document.querySelector('.graph').getAttribute('width')") < before
    page.key("Enter")
    assert page.run("document.querySelector('#models-q').value") == at, "Enter leads to its row"


def test_two_fingers_zoom(show) -> None:
    page = show("good", 390, touch=True)
    x, y = page.middle(".graph-box")
    before = page.run("+document.querySelector('.graph').getAttribute('width')")
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 60)):
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x - apart, "y": y}, {"x": x + apart, "y": y}])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert page.run("+document.querySelector('.graph').getAttribute('width')") > before * 1.5


def test_a_command_is_copied(show) -> None:
    page = show("failing")
    page.click(".head .cmd .copy")
    page.wait("document.querySelector('.head .cmd .copy').textContent === 'Copied'")


@pytest.mark.parametrize("name", ["failing", "killed", "refused", "live", "empty"])
def test_nothing_overflows_a_phone(name: str, show) -> None:
    page = show(name, 390)
    assert page.run("document.documentElement.scrollWidth") <= 390
    wide = "[...document.querySelectorAll('[data-table]')].filter(t => t.scrollWidth > t.parentElement.clientWidth).length"
    assert page.run(wide) == 0, "a table's rows are blocks there"
    if name == "failing":
        rows = page.run(
            "[...document.querySelectorAll('#models tbody td')].map(td => getComputedStyle(td, '::before').content).join()"
        )
        assert "Time" in rows, "each value bears its column's title"


def test_a_live_card_tells_who_listens_what_is_new(show) -> None:
    page = show("live")
    said = "document.getElementById('announce').textContent"
    assert page.run(said) == ""
    before = "sessionStorage.setItem('dbt-flow:CarrierRisk/123', JSON.stringify({said: 'something else', y: 300}))"
    page.run(f"window.old = true; window.addEventListener('pagehide', function () {{ {before} }}); location.reload()")
    page.wait("!window.old && document.documentElement && document.documentElement.dataset.ready === 'true'")
    page.wait(f"{said}.startsWith('24 of 45 nodes done')")
    page.click(".pause")
    assert page.run("document.querySelector('.pause').getAttribute('aria-pressed')") == "true"


ACCESSIBLE = """(function () {
  var wrong = [], last = 0;
  document.querySelectorAll('h1,h2,h3,h4').forEach(function (h) {
    var level = +h.tagName[1];
    if (level > last + 1) wrong.push('heading jumps: ' + h.textContent);
    last = level;
  });
  if (document.querySelectorAll('main').length !== 1 || document.querySelectorAll('h1').length !== 1) wrong.push('landmarks');
  document.querySelectorAll('th').forEach(function (th) { if (!th.scope) wrong.push('th without scope: ' + th.textContent); });
  document.querySelectorAll('button,a,input,summary').forEach(function (e) {
    var label = e.labels && e.labels.length ? e.labels[0].textContent : '';
    if (!(e.getAttribute('aria-label') || label || e.textContent).trim()) wrong.push('no name: ' + e.outerHTML.slice(0, 80));
  });
  var ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  ids.forEach(function (id, at) { if (ids.indexOf(id) !== at) wrong.push('id twice: ' + id); });
  document.querySelectorAll('[aria-labelledby]').forEach(function (e) {
    if (!document.getElementById(e.getAttribute('aria-labelledby'))) wrong.push('label is not there: ' + e.className);
  });
  var linear = function (x) { x /= 255; return x <= .03928 ? x / 12.92 : Math.pow((x + .055) / 1.055, 2.4) };
  var value = function (c) { var v = c.map(linear);
    return .2126 * v[0] + .7152 * v[1] + .0722 * v[2] };
  var parts = function (text) { return (text.match(/[\\d.]+/g) || []).map(Number) };
  var ground = function (e) { for (; e; e = e.parentElement) { var c = parts(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c.slice(0, 3) } return [255, 255, 255] };
  document.querySelectorAll('p,dd,dt,h1,h2,h3,h4,li,td,th,code,button,span,summary,b').forEach(function (e) {
    if (!e.textContent.trim() || !e.offsetParent || e.closest('.gantt,.trend,.sr,[aria-hidden]')) return;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) return;
    var style = getComputedStyle(e), a = value(parts(style.color).slice(0, 3)), b = value(ground(e));
    var ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) wrong.push('contrast ' + ratio.toFixed(2) + ': ' + e.className + ' ' + e.textContent.trim().slice(0, 40));
  });
  return [...new Set(wrong)];
})()"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["failing", "live", "good"])
def test_it_can_be_read_and_heard(name: str, dark: bool, show) -> None:
    assert show(name, dark=dark).run(ACCESSIBLE) == []


def test_the_focus_is_seen(show) -> None:
    page = show("failing")
    for _ in range(6):
        page.key("Tab")
        outline = page.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", page.run("document.activeElement.outerHTML.slice(0, 200)")


def test_five_thousand_nodes_come_at_once_and_do_not_freeze(show, chromium) -> None:
    page = show("big")
    assert page.run("document.documentElement.dataset.error") is None
    assert page.complaints() == []
    painted = page.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert painted < 20_000, f"{painted} ms: one second is promised, and a machine for tests may be twenty times as slow"
    page.click("#models-q")
    page.type("m_04")
    click = "document.querySelector('#models thead th:nth-child(5) button').click()"
    took = page.run(f"(function () {{ var began = performance.now(); {click}; return performance.now() - began }})()")
    assert took < 10_000
    assert len(page.run(ROWS)) == 100
    assert "1,000 of 5,000" in page.run("document.querySelector('#models .live-count').textContent")
    assert page.run("document.getElementsByTagName('*').length") < 12_000


def test_it_prints(show) -> None:
    page = show("failing")
    pdf = page.call("Page.printToPDF", printBackground=True)["data"]
    assert len(pdf) > 20_000
