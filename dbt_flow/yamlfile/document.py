"""A YAML file that was read: data, places, errors; and the words that messages use of values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dbt_flow.errors import DbtFlowError, InputError, Place

MAX_EXCERPT = 240

KeyPath = tuple[str | int, ...]
Mark = tuple[int, int]


@dataclass
class Document:
    """What a YAML file says, with places. ``data`` is None when the file could not be read at all."""

    file: str
    """The name shown in messages."""
    data: Any = None
    lines: tuple[str, ...] = ()
    keys: dict[KeyPath, Mark] = field(default_factory=dict)
    values: dict[KeyPath, Mark] = field(default_factory=dict)
    errors: list[DbtFlowError] = field(default_factory=list)

    def place(self, path: KeyPath = (), *, key: bool = False) -> Place:
        """Where the value at ``path`` stands, or its key; the nearest thing above it where it has no place of its own."""
        while path:
            first, second = (self.keys, self.values) if key else (self.values, self.keys)
            mark = first.get(path) or second.get(path)
            if mark:
                return self.at(mark)
            path = path[:-1]
        return self.at(self.values.get((), (1, 1)))

    def at(self, mark: Mark) -> Place:
        """A place of this file, with its excerpt."""
        line, column = mark
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else None
        if text is not None and (len(text) > MAX_EXCERPT or not text.strip()):
            text = None if column > MAX_EXCERPT or not text.strip() else text[:MAX_EXCERPT]
        return Place(self.file, line, column, None if text is None else printable(text))

    def refuse(self, code: str, message: str, mark: Mark | None, hint: str | None = None) -> None:
        """Note an error and go on."""
        place = self.at(mark) if mark else Place(self.file)
        self.errors.append(InputError(code, message, place=place, hint=hint))


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The nearest of ``known``, when one is near."""
    near = difflib.get_close_matches(word.lower()[:100], sorted(known), n=1, cutoff=0.65)
    return near[0] if near else None


def listed(names: Iterable[str], most: int = 30) -> str:
    """Names with commas between them, and how many more there are."""
    known = list(names)
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")


def kind_of(value: object) -> str:
    """What a value is, in a person's words."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a whole number", float: "a number"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def show(value: object) -> str:
    """A value as it would stand in a message: short, and printable."""
    if isinstance(value, (dict, list)):
        return kind_of(value)
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = printable(value if isinstance(value, str) else repr(value))
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def printable(text: str) -> str:
    """One column for each character, and nothing that a terminal would obey."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
