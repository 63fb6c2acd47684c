"""Reads a card's HTML the way a strict reader would: every element with its attributes, and the text of each section."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import card_runs

from dbt_flow.report.card import card_document, render

VOID = {"meta", "link", "br", "input", "path", "rect", "circle"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parents: tuple[Element, ...]
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())


class Page(HTMLParser):
    """A parsed card."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs}, tuple(self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.texts.append(data)

    def all(self, tag: str = "", cls: str = "", within: str = "") -> list[Element]:
        """Elements by tag, class and the id of an element around them."""
        return [
            element
            for element in self.elements
            if (not tag or element.tag == tag)
            and (not cls or cls in element.classes)
            and (not within or any(parent.attributes.get("id") == within for parent in element.parents))
        ]

    def one(self, tag: str = "", cls: str = "", within: str = "") -> Element:
        found = self.all(tag, cls, within)
        assert found, f"no {tag}.{cls} within {within or 'the page'}"
        return found[0]

    def section(self, name: str) -> Element | None:
        return next((element for element in self.elements if element.attributes.get("id") == name), None)

    @property
    def data(self) -> dict[str, Any]:
        section = self.section("data")
        assert section
        return json.loads("".join(section.texts))


def page(name: str) -> Page:
    """The card of one of the factory's runs."""
    return Page(render(card_document(*card_runs.ALL[name]())))


def chromium() -> str:
    """The browser that the tests drive; without one they fail, because a card that nobody has seen is not tested."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise AssertionError("no chromium, chromium-browser or google-chrome on the PATH: the card's tests need a browser")


def in_browser(html: str, folder: Path, *flags: str) -> Page:
    """The card's DOM after its JavaScript has run."""
    file = folder / "card.html"
    file.write_text(html, encoding="utf-8")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        quiet = ["gpu", "quic", "background-networking", "component-update", "sync", "dev-shm-usage"]
        done = subprocess.run(
            [
                chromium(),
                "--headless",
                "--no-sandbox",
                "--no-first-run",
                *(f"--disable-{word}" for word in quiet),
                f"--user-data-dir={profile}",
                "--window-size=1280,900",
                *flags,
                "--dump-dom",
                file.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    return Page(done.stdout)
