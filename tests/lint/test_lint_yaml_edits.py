"""Edits of YAML text: the span that is meant, and not one character more."""

from __future__ import annotations

import pytest

from dbt_flow.pipeline.yaml_edits import NotEdited, add_waits, remove_silence, replace_schedule

BLOCK = """\
---
owner: data

trigger:
    # at seven
    schedule: "0 7 * * *"  # after orders

select: [a,  'b']
"""
LIST = """\
owner: data
trigger:
  schedule:
    - "0 7 * * *"    # morning
    # and again
    - '0 19 * * *'

# the end
select: a
"""


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ('trigger: {schedule: "0 7 * * *"}\n', 'schedule: "0 7 * * *"', "after: [a, b]"),
        ("trigger: {schedule: ['0 7 * * *', 0 8 * * *]} # x", "schedule: ['0 7 * * *', 0 8 * * *]", "after: [a, b]"),
        ("{owner: x, trigger: {schedule: 0 7 * * *}, select: a}\n", "schedule: 0 7 * * *", "after: [a, b]"),
        (BLOCK, 'schedule: "0 7 * * *"', "after: [a, b]"),
        (BLOCK.replace("\n", "\r\n"), 'schedule: "0 7 * * *"', "after: [a, b]"),
        (
            LIST,
            "schedule:\n    - \"0 7 * * *\"    # morning\n    # and again\n    - '0 19 * * *'",
            "# morning\n  # and again\n  after: [a, b]",
        ),
    ],
    ids=["flow", "flow list", "all on a line", "block", "Windows", "block list with comments"],
)
def test_a_schedule(text: str, old: str, new: str) -> None:
    assert old in text
    assert replace_schedule(text, ["a", "b"]) == text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trigger: {after: a}  # x\n", "trigger: {after: [a, b, c]}  # x\n"),
        ("trigger: {after: [a, z ]}\n", "trigger: {after: [a, z, b, c ]}\n"),
        ("trigger: {after: {all: [a]}}\n", "trigger: {after: {all: [a, b, c]}}\n"),
        (
            "trigger:\n  after:\n  - z\n  - a # x\n\nselect: y\n",
            "trigger:\n  after:\n  - z\n  - a # x\n  - b\n  - c\n\nselect: y\n",
        ),
        ("trigger:\r\n  after:\r\n    - a\r\n", "trigger:\r\n  after:\r\n    - a\r\n    - b\r\n    - c\r\n"),
        ("trigger:\n  after:\n    - a", "trigger:\n  after:\n    - a\n    - b\n    - c"),
    ],
)
def test_names_that_are_added(text: str, expected: str) -> None:
    assert add_waits(text, ["b", "c"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner: x\nlint: {ignore: {a: b, c: d}}\n", "owner: x\nlint: {ignore: {c: d}}\n"),
        ("owner: x\nlint: {ignore: {c: d, a: b}} # y\n", "owner: x\nlint: {ignore: {c: d}} # y\n"),
        ("owner: x\nlint: {ignore: {a: b}}\nselect: y\n", "owner: x\nselect: y\n"),
        ("lint:\n  ignore:\n    a: b\n    # of c\n    c: d\nowner: x", "lint:\n  ignore:\n    # of c\n    c: d\nowner: x"),
        ("owner: x\nlint:\n  ignore:\n    a: b\n\n# end\n", "owner: x\n\n# end\n"),
    ],
)
def test_a_silence(text: str, expected: str) -> None:
    assert remove_silence(text, "a") == expected


@pytest.mark.parametrize(
    "text",
    [
        "owner: x\nlint: {ignore: {a: b}} # keep this\n",
        "lint:\n  ignore:\n    a: b # and this\n    c: d\n",
        "owner: x\n",
        "- a\n",
        "{",
    ],
)
def test_what_cannot_be_edited_is_left(text: str) -> None:
    with pytest.raises(NotEdited):
        remove_silence(text, "a")


def test_an_alias_is_left() -> None:
    with pytest.raises(NotEdited):
        replace_schedule('defaults: &d {schedule: "0 7 * * *"}\ntrigger: *d\n', ["a"])
