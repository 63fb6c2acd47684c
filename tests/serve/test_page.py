"""The page: what it says, and that it can be used: in a real Chromium, wide and narrow, light and dark."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
from stand import Stand, StandIn, send, settle
from test_webhook import served

from dbt_flow.serve.page import Pages

CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)


def get(url: str) -> tuple[str, dict[str, str]]:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.read().decode(), dict(answer.headers)


def a_day(stand: Stand) -> None:
    """Things that have happened, of every kind."""
    stand.dag("one", "{event: landed}")
    stand.dag("two", "{after: one}")
    stand.dag("three", '{after: [one, two], at_latest: "07:00"}')
    stand.dag("nightly", '{schedule: "0 3 * * *"}')
    stand.dag("broken", "{evnt: x}")
    runtime = stand.runtime(StandIn(stand.state, bad=("two",)))
    send(runtime, "landed", id="1", text="<script>alert(1)</script>")
    send(runtime, "unheard")
    settle(runtime)
    run = next(stand.state.glob("runs/dev/one/*"))
    (run / "card.html").write_text("<h1>the card</h1>")
    runtime.log.close()


def test_what_it_says(stand: Stand) -> None:
    a_day(stand)
    with served(stand) as (_, url):
        page, headers = get(url)
        for words in (
            "waits for two",
            "One ended well",
            "nobody waits for it",
            "on event landed",
            "unknown key &#34;evnt&#34;",
            "team",
        ):
            assert words in page, words
        assert "<script>alert" not in page
        assert "connect-src 'self'" in headers["Content-Security-Policy"]
        card = re.search(r'href="(/cards/dev/one/\d+)"', page)
        assert card
        text, headers = get(url + card[1])
        assert text == "<h1>the card</h1>" and "sandbox" in headers["Content-Security-Policy"]
        one, _ = get(f"{url}/of/three")
        assert "all of them, until 07:00 UTC, otherwise hold" in one
        outside = stand.state / "one" / "1" / "card.html"
        outside.parent.mkdir(parents=True)
        outside.write_text("no run's card")
        for path in (
            "/cards/%2e%2e/one/1",
            "/cards/../one/1",
            "/of/nobody",
            "/cards/dev/one/../../x",
            "/cards/dev/one/999",
            "/..%2f..%2fetc/passwd",
            "/of/%00",
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(url + path)
            assert refused.value.code == 404 and json.load(refused.value)["error"]["hint"]


def test_a_thousand_dags_have_a_page(stand: Stand) -> None:
    for number in range(300):
        stand.dag(f"d{number}", "{event: go}" if not number else f"{{after: d{number // 2}}}" if number > 1 else "{after: d0}")
    runtime = stand.runtime()
    page, _ = Pages(stand.settings, runtime).page("/", {})[::-1]  # type: ignore[index]
    assert page.count("/of/d299") >= 2
    runtime.log.close()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.parametrize(("size", "dark"), [((1280, 900), False), ((390, 844), True)], ids=["desktop, light", "phone, dark"])
def test_in_chromium(stand: Stand, tmp_path: Path, size: tuple[int, int], dark: bool) -> None:
    a_day(stand)
    with served(stand) as (_, url):
        # Measured inside a frame, since a headless window is never narrower than 500 pixels.
        frame = tmp_path / "frame.html"
        page, _ = get(url)
        quoted = page.replace("</body>", MEASURE + "</body>").replace("&", "&amp;").replace("'", "&#39;")
        frame.write_text(f"<iframe width={size[0]} height={size[1]} srcdoc='{quoted}'></iframe>")
        told = json.loads(chromium(frame, dark).rpartition("MEASURED")[2].partition("DONE")[0])
    assert told["errors"] == []
    assert told["wide"] <= size[0], "the page scrolls sideways"
    assert told["stops"] >= 8, "every DAG can be reached by keyboard"
    assert told["nameless"] == 0
    assert told["contrast"] >= 4.5
    assert (told["background"] == "rgb(18, 20, 23)") == dark


MEASURE = """<script>
const errors = []; addEventListener("error", (event) => errors.push(event.message));
const lum = (c) => {
  const v = c.match(/[\\d.]+/g).slice(0, 3).map((x) => (x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
const background = getComputedStyle(document.body).backgroundColor;
const soft = [...document.querySelectorAll(".soft, .good, .bad, .warn")].map((one) => lum(getComputedStyle(one).color));
const paper = lum(background);
const contrast = Math.min(...soft.map((ink) => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)));
const stops = [...document.querySelectorAll("a[href], [tabindex='0']")];
const nameless = stops.filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label"))).length;
const facts = { errors, wide: document.documentElement.scrollWidth, stops: stops.length, nameless, contrast, background };
parent.document.body.append("MEASURED" + JSON.stringify(facts) + "DONE");
</script>"""


def chromium(page: Path, dark: bool) -> str:
    """The page's DOM when its scripts have run."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ]
    flags += [
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={page.parent / 'chromium'}",
        "--window-size=1400,1000",
    ]
    flags += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run([str(CHROMIUM), *flags, page.as_uri()], capture_output=True, text=True, timeout=180, check=True)
    return done.stdout
