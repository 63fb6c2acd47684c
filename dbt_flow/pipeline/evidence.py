"""Where in two trees of files a difference stands: a line of today's file that the old one had not, or the other way round."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dbt_flow.plan.differences import Because

Lines = list[tuple[int, str]]
"""Lines with their numbers, counted from 1."""


@dataclass(frozen=True)
class Evidence:
    """One dbt project in two trees."""

    before: Path
    now: Path
    shown: str
    """The project's folder as messages show it: ``dbt_project``; empty at the root."""
    _texts: dict[Path, tuple[str, ...] | None] = field(default_factory=dict)
    _marks: dict[str, tuple[Lines, Lines]] = field(default_factory=dict)

    def changed(self, file: str) -> bool:
        """Whether a file of the project is not as it was."""
        return self._lines(self.before / file) != self._lines(self.now / file)

    def because(self, kind: str, text: str, files: Iterable[str], words: Iterable[str] = ()) -> Because:
        """The reason, with the first of ``files`` that changed, and its first changed line that has one of ``words``."""
        known, asked = list(files), [word for word in words if word]
        for file in known:
            line = self._line(file, asked)
            if line is not None:
                return Because(kind, text, self._path(file), line)
        return self.plain(kind, text, next((file for file in known if self.changed(file)), None))

    def plain(self, kind: str, text: str, file: str | None) -> Because:
        """The reason, with a file and no line."""
        return Because(kind, text, self._path(file) if file else None)

    def _path(self, file: str) -> str:
        return f"{self.shown}/{file}" if self.shown not in ("", ".") else file

    def _line(self, file: str, words: list[str]) -> int | None:
        """In the file of today, or where the line is gone, in the old one."""
        if file not in self._marks:
            self._marks[file] = _changed(self._lines(self.before / file) or (), self._lines(self.now / file) or ())
        if self._lines(self.before / file) is None or self._lines(self.now / file) is None:
            return None
        for marks in self._marks[file]:
            for number, line in marks:
                if line.strip() and (not words or any(_has(line, word) for word in words)):
                    return number
        return None

    def _lines(self, file: Path) -> tuple[str, ...] | None:
        """None where there is no such file."""
        if file not in self._texts:
            try:
                self._texts[file] = tuple(file.read_text(encoding="utf-8", errors="replace").splitlines())
            except OSError:
                self._texts[file] = None
        return self._texts[file]


def _has(line: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line) is not None


def _changed(was: Sequence[str], is_now: Sequence[str]) -> tuple[Lines, Lines]:
    """The lines of today that the old file had not, and the old ones that are gone."""
    came: Lines = []
    gone: Lines = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, was, is_now).get_opcodes():
        if kind != "equal":
            gone += [(number + 1, was[number]) for number in range(a, b)]
            came += [(number + 1, is_now[number]) for number in range(c, d)]
    return came, gone
