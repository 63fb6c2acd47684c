"""Where in a project's files something stands that dbt names without saying where."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from dbt_flow.errors import Place

NOT_OURS = frozenset({"target", "dbt_packages", "dbt_modules", "logs", "node_modules", "venv", "__pycache__"})
"""Folders in a project that hold nothing an author wrote."""
WRITTEN = frozenset({".sql", ".yml", ".yaml", ".py", ".md"})
NAMED_FILE = re.compile(r"[\w./\\ -]*\w\.(?:sql|yml|yaml|py|md|csv)\b")
OPENED = re.compile(r"\{%-?\s*(macro|test|materialization|snapshot|docs)\b")


def place(file: Path, line: int | None = None, column: int | None = None) -> Place:
    """A place in ``file``, named from where the process is when that is shorter, with the line as it stands there.

    Lines of ``profiles.yml`` are not shown: they hold passwords.
    """
    name = str(file)
    try:
        relative = os.path.relpath(file)
    except (ValueError, OSError):  # another drive, or the process's folder is gone
        relative = name
    return Place(
        relative if not relative.startswith("..") else name,
        line,
        column,
        None if file.name == "profiles.yml" else _line(file, line),
    )


def written_files(folder: Path) -> Iterator[Path]:
    """The files of a project that people write: models, properties, macros, tests."""
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in NOT_OURS and not name.startswith("."))
        yield from (Path(where) / name for name in sorted(files) if Path(name).suffix in WRITTEN)


def not_yaml(file: Path) -> tuple[Place, str] | None:
    """Where and why ``file`` cannot be read as YAML; None when it can, or is not there."""
    try:
        yaml.compose(_text(file), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = ", ".join(part for part in (error.problem, error.context) if part)
        return (place(file, mark.line + 1, mark.column + 1) if mark else place(file)), why
    except (yaml.YAMLError, OSError) as error:
        return place(file), str(error)
    return None


def line_with(file: Path, *words: str) -> Place:
    """The first line of ``file`` that holds all ``words``, else the first with one of them, else the file."""
    lines = _text(file).splitlines()
    for good in (all, any):
        for number, line in enumerate(lines, 1):
            if words and good(word in line for word in words):
                return place(file, number)
    return place(file)


def line_of_word(file: Path, words: list[str]) -> Place:
    """The first line of ``file`` with the first of ``words`` that it holds as a word, else the file."""
    lines = _text(file).splitlines()
    for word in words:
        whole = re.compile(rf"(?<![\w.]){re.escape(word)}(?![\w.])")
        for number, line in enumerate(lines, 1):
            if whole.search(line):
                return place(file, number)
    return place(file)


def file_named_in(text: str, folder: Path) -> Path | None:
    """The first file of the project that ``text`` names, by its path or by its bare name when only one bears it."""
    for match in NAMED_FILE.finditer(text):
        name = match[0].strip()
        for candidate in (name, name.rpartition(" ")[2]):
            if (folder / candidate).is_file():
                return folder / candidate
        bare = name.rpartition(" ")[2]
        alike = [file for file in written_files(folder) if file.as_posix().endswith("/" + bare)]
        if len(alike) == 1:
            return alike[0]
    return None


def only_file_with(folder: Path, *words: str) -> Place | None:
    """The one place in the project with all ``words`` in a file; None when there are several or none."""
    found = [file for file in written_files(folder) if all(word in _text(file) for word in words)] if words else []
    return line_with(found[0], *words) if len(found) == 1 else None


def never_closed(folder: Path, tag: str) -> Place | None:
    """The one file in which a ``{% tag %}`` is opened more often than closed, at the last that is opened."""
    found = []
    for file in written_files(folder):
        text = _text(file)
        opened = [match for match in OPENED.finditer(text) if match[1] == tag]
        if len(opened) > len(re.findall(r"\{%-?\s*end" + re.escape(tag), text)):
            found.append(place(file, text.count("\n", 0, opened[-1].start()) + 1))
    return found[0] if len(found) == 1 else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _line(file: Path, line: int | None) -> str | None:
    lines = _text(file).splitlines() if line else []
    return lines[line - 1] if line and line <= len(lines) else None
