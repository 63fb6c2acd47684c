"""From the parser's events to a document, with a stack of our own: deep nesting and alias bombs meet a limit, not Python's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from dbt_flow.yamlfile.document import Document, KeyPath, Mark, kind_of, printable, show

MAX_DEPTH = 40
MAX_NODES = 20_000
"""Of values, with each alias counted as all that it stands for."""

_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", re.ASCII)
_ENDLESS = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_TAG = "tag:yaml.org,2002:"


class Stop(Exception):
    """The rest of the file is not worth reading; the error is noted."""


@dataclass
class _Frame:
    """A mapping or list that is being built."""

    path: KeyPath
    value: dict[str, Any] | list[Any]
    anchor: str | None
    nodes: int = 1
    key: str | None = None
    """Of a mapping: the key whose value comes next."""
    waiting: bool = False
    """Of a mapping: a key was read, its value was not. A bad key waits too, with ``key`` None: its value is dropped."""


DROPPED = "\0dropped"


class Builder:
    """Events in, :class:`Document` out."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int] | None] = {}
        self.nodes = 0
        self.documents = 0

    def build(self, text: str) -> None:
        """Fill the document; raises :class:`Stop` or a YAMLError where the rest cannot be read."""
        loader = yaml.SafeLoader(text)
        try:
            while loader.check_event():
                self._event(loader.get_event())  # type: ignore[no-untyped-call]
        finally:
            loader.dispose()

    def _event(self, event: yaml.Event) -> None:
        start = event.start_mark
        mark = (start.line + 1, start.column + 1) if start else (1, 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._stop("yaml-syntax", "a second document starts here", mark, "one file holds one document: delete the ---")
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, mark)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, mark)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open(event, mark)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close()

    def _stop(self, code: str, message: str, mark: Mark, hint: str) -> NoReturn:
        """Note an error, after which the rest is not worth reading."""
        self.document.refuse(code, message, mark, hint)
        raise Stop

    def _count(self, nodes: int, mark: Mark) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            hint = "each alias counts as all that it stands for; write less, or split the file"
            self._stop("bad-value", f"the file holds more than {MAX_NODES:,} values", mark, hint)

    @property
    def _wants_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and not self.stack[-1].waiting

    def _path(self) -> KeyPath:
        """Of the value that comes next."""
        if not self.stack:
            return ()
        frame = self.stack[-1]
        if isinstance(frame.value, list):
            return (*frame.path, len(frame.value))
        return (*frame.path, DROPPED if frame.key is None else frame.key)

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> None:
        self._count(1, mark)
        value = self._resolve(event, mark)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        if self._wants_key:
            self._key(value, mark, merge=event.value == "<<" and event.implicit[0])
        else:
            self._add(value, mark, 1)

    def _key(self, value: Any, mark: Mark, merge: bool = False) -> None:
        """A key of the mapping on top of the stack; a bad one is noted, and its value will be dropped."""
        frame = self.stack[-1]
        frame.waiting, frame.key = True, None
        if merge:
            hint = "write the keys out, or put them in dags/_defaults.yaml"
            self.document.refuse("unknown-key", "<< (merge) is not part of YAML 1.2", mark, hint)
        elif not isinstance(value, str):
            hint = f'put it in quotes: "{value}":' if not isinstance(value, (dict, list)) else "write key: value"
            self.document.refuse("wrong-type", f"a key is text; this one is {kind_of(value)}", mark, hint)
        elif (*frame.path, value) in self.document.keys:
            line, column = self.document.keys[(*frame.path, value)]
            message = f"the key {show(value)} is written twice; first at line {line}, column {column}"
            self.document.refuse("duplicate-key", message, mark, "keep one of the two")
        else:
            frame.key = value
            self.document.keys[(*frame.path, value)] = mark

    def _add(self, value: Any, mark: Mark, nodes: int) -> None:
        """Put a finished value where it belongs."""
        path = self._path()
        if DROPPED not in path:
            self.document.values.setdefault(path, mark)
        if not self.stack:
            self.document.data = value
            return
        frame = self.stack[-1]
        frame.nodes += nodes
        if isinstance(frame.value, list):
            frame.value.append(value)
            return
        if frame.key is not None:
            frame.value[frame.key] = value
        frame.waiting, frame.key = False, None

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, mark: Mark) -> None:
        self._count(1, mark)
        if len(self.stack) >= MAX_DEPTH:
            self._stop("bad-value", f"the nesting is deeper than {MAX_DEPTH}", mark, "write it flatter")
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if mapping else "seq")):
            self.document.refuse("yaml-syntax", f"the tag {show(event.tag)} is not allowed", mark, "delete the tag")
        if self._wants_key:
            self._key({} if mapping else [], mark)
        path = self._path()
        if DROPPED not in path:
            self.document.values.setdefault(path, mark)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Frame(path, {} if mapping else [], event.anchor))

    def _close(self) -> None:
        frame = self.stack.pop()
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.value, frame.nodes)
        self._add(frame.value, self.document.values.get(frame.path, (1, 1)), frame.nodes)

    def _alias(self, event: yaml.AliasEvent, mark: Mark) -> None:
        anchor = event.anchor or ""
        if anchor not in self.anchors:
            hint = 'put text that starts with * in quotes, as in "*/5 * * * *"'
            self._stop("yaml-syntax", f"the alias *{printable(anchor)} has no anchor before it", mark, hint)
        known = self.anchors[anchor]
        if known is None:
            self._stop("yaml-syntax", f"the alias *{printable(anchor)} stands inside itself", mark, "write the value out")
        self._count(known[1], mark)
        if self._wants_key:
            self._key(known[0], mark)
        else:
            self._add(known[0], mark, known[1])

    def _resolve(self, event: yaml.ScalarEvent, mark: Mark) -> Any:
        """The value of a scalar, after YAML 1.2's core schema."""
        text, tag = self._whole(event.value, mark), event.tag
        if tag in ("!", _TAG + "str") or (tag is None and not event.implicit[0]):
            return text
        if tag is not None and tag not in {_TAG + kind for kind in ("null", "bool", "int", "float")}:
            self.document.refuse("yaml-syntax", f"the tag {show(tag)} is not allowed", mark, "delete the tag")
            return text
        value = self._plain(text, mark)
        kind = {type(None): "null", bool: "bool", int: "int", float: "float"}.get(type(value))
        if tag is not None and tag != _TAG + str(kind):
            self.document.refuse(
                "bad-value", f"{show(text)} is no {tag[len(_TAG) :]}", mark, "delete the tag, or mend the value"
            )
        return value

    def _whole(self, text: str, mark: Mark) -> str:
        """``text`` with the halves of a character, as JSON escapes them, put together; half a character alone is no text."""
        if text.isascii():
            return text
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            self.document.refuse("bad-value", "an escape stands for half a character", mark, "write the character itself")
            return text.encode("utf-8", "replace").decode()

    def _plain(self, text: str, mark: Mark) -> Any:
        if _NULL.match(text):
            return None
        if _BOOL.match(text):
            return text.lower() == "true"
        if _INT.match(text) and len(text) < 100:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _FLOAT.match(text) and not _INT.match(text):
            number = float(text)
            if abs(number) != float("inf"):
                return number
        elif not _ENDLESS.match(text) and not _INT.match(text):
            return text
        self.document.refuse(
            "bad-value", f"{show(text)} is a number that cannot be kept", mark, "put it in quotes to make it text"
        )
        return text
