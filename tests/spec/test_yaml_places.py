"""Reading YAML: the values of YAML 1.2, the place of each, and limits that hold."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from dbt_flow.yamlfile import Document, read


def load(tmp_path: Path, text: str | bytes) -> Document:
    path = tmp_path / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, name="x.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("TRUE", True), ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"),
        ("y", "y"),
        ("12:30:00", "12:30:00"), ("07:00", "07:00"), ("1:2", "1:2"), ("2026-11-21", "2026-11-21"), ("010", 10), ("0o17", 15),
        ("0x1F", 31), ("1_000", "1_000"), ("-7", -7), ("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("~", None), ("null", None),
        ("", None), ("'1'", "1"), ('"true"', "true"), ("!!str 1", "1"), ("! 1", "1"), ("!!int 1", 1), ("0b1", "0b1"),
        ("=", "="),
        ("1.", 1.0), ("+1", 1), ("tag:x", "tag:x"), ("0 6 * * *", "0 6 * * *"), ("'a''b'", "a'b"), ("|\n  x\n  y", "x\ny\n"),
        ("[a, {b: 1}]", ["a", {"b": 1}]), ("٣", "٣"),
    ],
)  # fmt: skip
def test_values_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: object) -> None:
    document = load(tmp_path, f"k: {text}\n")
    assert (document.data, document.errors) == ({"k": value}, [])
    assert type(document.data["k"]) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "9" * 200, "!!int x", "!!bool 1", "!!timestamp 2026-01-01"])
def test_what_cannot_be_kept_is_refused(tmp_path: Path, text: str) -> None:
    (error,) = load(tmp_path, f"k: {text}\n").errors
    assert (error.place.line, error.place.column) == (1, 4)


def test_each_key_and_value_has_its_place(tmp_path: Path) -> None:
    document = load(tmp_path, "# c\na: 1\nb:\n  - x\n  - {c: y}\nd: &d {e: 1}\nf: *d\n")
    for path, key, where in [
        (("a",), False, (2, 4)), (("a",), True, (2, 1)), (("b", 0), False, (4, 5)), (("b", 1, "c"), False, (5, 9)),
        (("b", 1, "c"), True, (5, 6)), (("f",), False, (7, 4)), (("f", "e"), False, (7, 4)), (("gone",), False, (2, 1)),
    ]:  # fmt: skip
        place = document.place(path, key=key)
        assert (place.line, place.column) == where, path
    assert document.place(("b", 0)).excerpt == "  - x"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(tmp_path: Path, ends: str) -> None:
    place = load(tmp_path, f"a: 1{ends}b: 2{ends}").place(("b",))
    assert (place.line, place.column, place.excerpt) == (2, 4, "b: 2")


def test_a_byte_order_mark_is_no_column(tmp_path: Path) -> None:
    document = load(tmp_path, b"\xef\xbb\xbfa: 1\n")
    assert (document.data, document.place(("a",), key=True).column) == ({"a": 1}, 1)


def test_an_excerpt_does_not_drive_the_terminal(tmp_path: Path) -> None:
    (error,) = load(tmp_path, "a: \x1b[31m\n").errors
    assert (error.code, error.place.column) == ("yaml-syntax", 4)
    assert "\x1b" not in str(error)
    document = load(tmp_path, "a: 'x\u202ey'\n")
    assert "\u202e" not in document.place(("a",)).excerpt


def test_a_long_line_is_not_shown_in_full(tmp_path: Path) -> None:
    document = load(tmp_path, f"a: {'x' * 5000}\nb: {'[' + 'x, ' * 200 + 'y]'}\n")
    assert len(document.place(("a",)).excerpt) <= 240
    assert document.place(("b", 200)).excerpt is None


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 50_000, "- " * 50_000, "a:\n" + "".join(" " * n + "- \n" for n in range(1, 900))]
)
def test_deep_nesting_meets_our_limit_and_not_pythons(tmp_path: Path, text: str) -> None:
    began = time.process_time()
    document = load(tmp_path, text)
    assert document.errors
    assert time.process_time() - began < 5
    assert sys.getrecursionlimit() >= 1000


def test_an_alias_bomb_does_not_go_off(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (error,) = load(tmp_path, "\n".join(levels)).errors
    assert (error.code, error.place.line) == ("bad-value", 5)


def test_aliases_within_limits_work(tmp_path: Path) -> None:
    assert load(tmp_path, "a: &x {b: [1]}\nc: *x\nd: &s text\n*s : e\n").data == {
        "a": {"b": [1]},
        "c": {"b": [1]},
        "d": "text",
        "text": "e",
    }


def test_no_file_no_folder_no_text(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone", Path("\0"), tmp_path / ("x" * 5000)):
        document = read(path)
        assert [error.code for error in document.errors] == ["unreadable"]
        assert document.data is None
