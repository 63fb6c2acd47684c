"""The card in a real browser: tables fill, sort and filter, the graph answers, and nothing goes wrong."""

from __future__ import annotations

import card_runs
import pytest
from card_page import in_browser

from dbt_flow.report.card import card_document, render

DRIVER = """<script>
var root = document.documentElement, tell = function (key, value) { root.setAttribute("data-" + key, String(value)); };
var names = function () {
  return [].map.call(document.querySelectorAll("#models tbody th"), function (th) { return th.textContent; });
};
var box = document.querySelector("#models input");
box.value = "carrier SKIPPED";
box.dispatchEvent(new Event("input"));
tell("filtered", names().join(" "));
box.value = "";
box.dispatchEvent(new Event("input"));
document.querySelectorAll("#models thead button")[4].click();
tell("slowest", names()[0]);
tell("sorted", document.querySelectorAll("#models thead th")[4].getAttribute("aria-sort"));
document.querySelector("#tests .chips button").click();
tell("chip", document.querySelectorAll("#tests tbody tr").length);
var bad = document.querySelector(".n.bad");
bad.focus();
tell("lit", document.querySelector(".graph").classList.contains("lit") && document.querySelectorAll(".n.on").length);
bad.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
tell("beside", document.activeElement.querySelector("title").textContent.split(" ")[0]);
document.querySelector('[data-zoom="+"]').click();
tell("zoomed", document.querySelector(".graph").getAttribute("width"));
</script>"""


@pytest.mark.parametrize("name", [*card_runs.ALL])
def test_tables_fill_and_no_error_appears(name: str, tmp_path) -> None:
    made, ended, extra = card_runs.ALL[name]()
    card = in_browser(render(card_document(made, ended, extra)), tmp_path)
    root = card.one("html").attributes
    assert "data-error" not in root, root["data-error"]
    assert root.get("data-ready") == "true"
    if made is None:
        return
    total = sum(not node.is_test for node in made.nodes)
    assert card.one("table", within="models").attributes["data-rows"] == str(total)
    assert len(card.all("tr", within="models")) - 1 == min(total, 100)
    assert card.all("thead", within="models") and card.all("button", within="models")


def test_filter_sort_chips_graph_and_zoom_work(tmp_path) -> None:
    html = render(card_document(*card_runs.failing()))
    root = in_browser(html.replace("</body>", DRIVER + "</body>"), tmp_path).one("html").attributes
    assert "data-error" not in root, root["data-error"]
    assert root["data-filtered"] == "int_carrier_history carrier_safety carrier_features carriers_snapshot"
    assert root["data-slowest"] == "int_loads_by_lane"
    assert root["data-sorted"] == "descending"
    assert root["data-chip"] == "2"
    assert int(root["data-lit"]) == 9
    assert root["data-beside"] == "carrier_features"
    assert float(root["data-zoomed"]) > 0


def test_nothing_overflows_a_phone(tmp_path) -> None:
    for name in ("failing", "killed", "refused", "live"):
        html = render(card_document(*card_runs.ALL[name]()))
        # A window has a least width, a frame has not.
        framed = html.replace('"', "&quot;")
        frame = f'<!doctype html><html><body><iframe id="f" width="390" height="800" srcdoc="{framed}"></iframe>'
        told = "f.onload=function(){document.documentElement.dataset.wide=f.contentDocument.documentElement.scrollWidth}"
        page = in_browser(frame + f"<script>{told}</script></body></html>", tmp_path, "--virtual-time-budget=1500")
        assert int(page.one("html").attributes["data-wide"]) <= 390, name
