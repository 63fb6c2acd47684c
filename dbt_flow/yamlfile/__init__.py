"""YAML with a place for each key and value, and every problem of a file at once.

:func:`read` turns a file into a :class:`Document`: plain data (dict, list, str, int, float, bool, None), the place of every key
and value, and the errors found so far. It reads YAML 1.2's core schema: only ``true`` and ``false`` are booleans, so ``on`` and
``no`` are text, ``12:30:00`` and ``2026-01-01`` are text, ``010`` is ten.

    bytes -> text (here) -> events (PyYAML's parser) -> build (our own stack, with limits) -> document (data with places)
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

import yaml

from dbt_flow.yamlfile.build import Builder, Stop
from dbt_flow.yamlfile.document import Document, KeyPath, did_you_mean, kind_of, listed, printable, show

__all__ = ["Document", "KeyPath", "did_you_mean", "kind_of", "listed", "printable", "read", "show"]

MAX_BYTES = 1_000_000
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_HINTS = (
    (r"character '\\t'", "indent with spaces; a tab cannot indent YAML"),
    (r"mapping values are not allowed", 'put text that contains ": " in quotes, and check the indentation'),
    (
        r"expected alphabetic or numeric character",
        'a leading * or & means an alias or anchor: put it in quotes, as in "*/5 * * * *"',
    ),
    (r"undefined alias", "an alias (*name) needs an anchor (&name) before it; put text that starts with * in quotes"),
    (r"could not find expected ':'", 'write "key: value", with a space after the colon'),
    (r"expected <block end>|expected the node content", "check the indentation of this line and of the one above"),
    (r"quoted scalar", "close the quote"),
    (r"expected ',' or", "close the bracket, or put a comma between the items"),
    (r"cannot start any token", "put the text in quotes"),
)


def read(path: Path, *, name: str | None = None, empty_ok: bool = False) -> Document:
    """Read one file; what is wrong with it stands in ``errors``. Never raises for what a file may hold.

    :param name: the name for messages; the path itself by default
    :param empty_ok: an empty file is an empty mapping
    """
    document = Document(printable(name or str(path)))
    text = _text(path, document)
    if text is None:
        return document
    document.lines = tuple(_LINE_BREAK.split(text))
    try:
        Builder(document).build(text)
    except yaml.YAMLError as error:
        _explain(error, document)
        return document
    except Stop:
        return document
    if document.data is None and empty_ok:
        document.data = {}
    elif document.data is None:
        document.refuse("wrong-type", "the file is empty", (1, 1), "a DAG file needs at least: owner: NAME")
    elif not isinstance(document.data, dict):
        kind = kind_of(document.data)
        document.refuse(
            "wrong-type", f"the file holds {kind}, not keys with values", (1, 1), "write lines of the form key: value"
        )
        document.data = None
    return document


def _text(path: Path, document: Document) -> str | None:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            document.refuse("unreadable", f"{document.file} is {what}", None, "name a .yaml file")
            return None
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        document.refuse("unreadable", f"{document.file} does not exist", None, "check the name: dbt-flow list shows the DAGs")
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        document.refuse("unreadable", f"{document.file} cannot be read: {reason}", None, "check the file and its permissions")
        return None
    if len(raw) > MAX_BYTES:
        document.refuse("unreadable", f"{document.file} is larger than {MAX_BYTES:,} bytes", None, "is this the right file?")
        return None
    return _decode(raw, document)


def _decode(raw: bytes, document: Document) -> str | None:
    hint = "save the file as UTF-8"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        document.refuse("unreadable", "the file is UTF-16, not UTF-8", (1, 1), hint)
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        rows = _LINE_BREAK.split(before)
        document.lines = tuple(_LINE_BREAK.split(raw.decode("utf-8-sig", "replace")))
        byte = raw[error.start]
        document.refuse("unreadable", f"byte 0x{byte:02x} is not UTF-8", (len(rows), len(rows[-1]) + 1), hint)
        return None
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if bad:
        rows = _LINE_BREAK.split(text[: bad.start()])
        document.lines = tuple(_LINE_BREAK.split(text))
        name = "a NUL byte" if bad[0] == "\0" else f"the character U+{ord(bad[0]):04X}"
        document.refuse(
            "yaml-syntax",
            f"{name} cannot stand in YAML",
            (len(rows), len(rows[-1]) + 1),
            "delete it, and save the file as UTF-8",
        )
        return None
    return text


def _explain(error: yaml.YAMLError, document: Document) -> None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or error)
    if "'\\t'" in problem:
        problem = "a tab stands where only spaces may"
        hint: str | None = _HINTS[0][1]
    else:
        hint = next(
            (hint for pattern, hint in _HINTS if re.search(pattern, f"{getattr(error, 'context', '')} {problem}")), None
        )
    context = getattr(error, "context", None)
    message = f"{problem} ({context})" if context else problem
    where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    document.refuse(
        "yaml-syntax", f"this is not YAML: {printable(message)}", where, hint or "check the line and the one above it"
    )
