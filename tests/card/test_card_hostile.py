"""Whatever a warehouse, a model or a person writes, the card shows it as text."""

from __future__ import annotations

import card_runs
import pytest
from card_page import Page, in_browser

from dbt_flow.records import NodeResult
from dbt_flow.report.card import card_document, render
from dbt_flow.report.story import story
from dbt_flow.report.words import clean, one_line

ATTACKS = [
    "<script>document.documentElement.setAttribute('data-owned','1')</script>",
    "</script><script>document.documentElement.setAttribute('data-owned','1')</script>",
    "</style></title></textarea><img src=x onerror=document.documentElement.setAttribute('data-owned',1)>",
    "\"><svg onload=document.documentElement.setAttribute('data-owned',1)>",
    "<!-- <script> ]]>",
    "{{ 7 * 191 }}{% raw %}",
]


def attacked(text: str, *, message: str | None = None):
    """A failing run in which every word that somebody outside can choose is ``text``."""
    made = card_runs.plan()
    node = card_runs.model_id("int_payment_delays")
    test = card_runs.BROKEN_TEST
    changes = {
        node: NodeResult(id=node, status="error", message=message or text, compiled=f"select '{text}' -- {text}", reason=text),
        test: NodeResult(id=test, status="warn", message=text),
    }
    said = dict.fromkeys(("dag", "flow", "run", "reason", "target", "owner", "trigger", "follows"), text)
    told = {
        "parameters": {text: text},
        "versions": {text: text},
        "error": {"code": text, "message": text, "hint": text, "file": text},
    }
    ended = card_runs.result(made, "failed", changes, **said, **told)
    named = made.to_dict()
    for group in ("nodes", "surroundings"):
        for one in named[group]:
            one.update(name=text + one["name"], path=text, owner=text, column=text, severity=text, materialized=text)
    extra = card_runs.extra(
        history=({"run": text, "status": text, "seconds": 3.0, "started": text},),
        owner_contact={"url": f"javascript:{text}", "email": text, text: text},
        description=text,
        commands={"retry": text, "reproduce": text + "{node}", "card": text},
    )
    return type(made).from_dict(named), ended, extra


@pytest.mark.parametrize("text", ATTACKS)
def test_html_is_shown_never_read(text: str) -> None:
    made, ended, extra = attacked(text)
    card = Page(render(card_document(made, ended, extra)))
    assert len(card.all("script")) == 3
    assert not card.all("img")
    assert {e.attributes["href"] for e in card.all("a")} == {"#main", "#", f"mailto:{one_line(text, 200)}"}
    assert (
        text.split("{%", maxsplit=1)[0].strip() in card.one("p", "sentence").text
        or one_line(text)[:40] in card.one("p", "sentence").text
    )
    assert card.data["models"][0][0].startswith(one_line(text)[:30])
    assert "1337" not in card.html


def test_nothing_that_is_written_runs_in_a_browser(tmp_path) -> None:
    text = "".join(ATTACKS)
    made, ended, extra = attacked(text)
    root = in_browser(render(card_document(made, ended, extra)), tmp_path).one("html")
    assert root.attributes.get("data-ready") == "true"
    assert "data-owned" not in root.attributes and "data-error" not in root.attributes


def test_escapes_and_controls_and_reordering_marks_are_gone() -> None:
    text = "\x1b[31mred\x1b[0m \x1b]8;;http://x.example\x07link\x1b]8;;\x07 bell\x07 \u202eevil\u202c \x9b31m nul\x00 \ud800end"
    assert clean(text) == "red link bell evil  nul \ufffdend"
    made, ended, extra = attacked(text)
    html = render(card_document(made, ended, extra))
    html.encode("utf-8")
    assert not [char for char in "\x1b\x07\x00\u202e" if char in html]
    for line in story(made, ended, width=80):
        assert not [char for char in "\x1b\x07\x00\u202e\n" if char in line.text]


def test_other_alphabets_come_through() -> None:
    text = "اختبار 貨物輸送 грузы ενοικίαση 🚛 naïve"
    made, ended, extra = attacked(text)
    card = Page(render(card_document(made, ended, extra)))
    assert text in card.one("p", "sentence").text
    assert text in card.one("pre", "message").text


@pytest.mark.parametrize("unit", ["word ", "x", "\x1b[31mred\n", "<b>", "'"])
def test_a_message_of_a_megabyte_is_cut_with_a_note(unit: str) -> None:
    message = unit * (1_000_000 // len(unit))
    made, ended, extra = attacked("m", message=message)
    html = render(card_document(made, ended, extra))
    assert len(html.encode()) < 300_000
    assert f"{len(message):,} characters in all" in Page(html).section("failures").text
    assert sum(len(line.text) for line in story(made, ended, width=80)) < 4000
