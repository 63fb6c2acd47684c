"""What compiled SQL does beyond what its manifest says: ask a clock or dice, read what dbt knows nothing of.

Both look at the SQL as it was sent, so that what macros wrote is seen too. Both err on one side: what they cannot read for
certain is a doubt, and what is in doubt is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

VOLATILE_FUNCTIONS = frozenset(
    {"now", "today", "age", "getdate", "getutcdate", "clock_timestamp", "statement_timestamp", "transaction_timestamp"}
    | {"timeofday", "get_current_timestamp", "get_current_time", "current_localtime", "current_localtimestamp"}
    | {"random", "rand", "randn", "randstr", "uniform", "normal", "zipf", "setseed", "uuid", "uuidv4", "uuidv7"}
    | {"gen_random_uuid", "uuid_string", "generate_uuid", "newid", "nextval", "currval", "lastval", "seq1", "seq2", "seq4"}
    | {"seq8", "txid_current", "pg_current_xact_id", "getvariable", "getenv", "sample", "last_query_id", "current_setting"}
)
"""Functions whose answer is another one next time."""

VOLATILE_WORDS = frozenset(
    {"current_timestamp", "current_date", "current_time", "localtime", "localtimestamp", "sysdate", "systimestamp"}
    | {"current_user", "current_role", "current_session", "current_statement", "current_transaction", "current_warehouse"}
    | {"session_user", "tablesample"}
)
"""The same, without brackets."""

TABLE_FUNCTIONS = frozenset(
    {"unnest", "generate_series", "range", "flatten", "generator", "values", "split_to_table", "json_each", "jsonb_each"}
    | {"json_array_elements", "jsonb_array_elements", "json_array_elements_text", "jsonb_array_elements_text"}
    | {"regexp_split_to_table", "generate_subscripts"}
)
"""Functions in a FROM that make rows from their arguments alone."""

_VOLATILE = re.compile(
    rf"\b(?:{'|'.join(sorted(VOLATILE_FUNCTIONS))})(?=\s*\()"
    rf"|\b(?:{'|'.join(sorted(VOLATILE_WORDS))})\b"
    r"|\busing\s+sample\b|'(?:now|today|yesterday|tomorrow)'",
    re.IGNORECASE,
)

_TOKEN = re.compile(
    r"(?P<skip>\s+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<text>'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r'|(?P<quoted>"(?:[^"]|"")*"|`[^`]*`)'
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<other>\d[\w.]*|.)",
    re.DOTALL,
)

_ENDS_FROM = frozenset(
    {
        "where",
        "group",
        "order",
        "having",
        "qualify",
        "window",
        "limit",
        "offset",
        "fetch",
        "union",
        "intersect",
        "except",
        "minus",
    }
)
_STATEMENTS = frozenset(
    {
        "pivot",
        "unpivot",
        "table",
        "describe",
        "summarize",
        "show",
        "call",
        "execute",
        "copy",
        "attach",
        "set",
        "pragma",
        "insert",
    }
)


def volatile_in(sql: str) -> str | None:
    """What in ``sql`` gives another answer next time, as it stands there; words in comments and texts count too."""
    found = _VOLATILE.search(sql)
    return found.group(0) if found else None


def plain_name(relation: str) -> str:
    """``"shop"."main"."Orders"`` as ``shop.main.orders``: how relations are compared here."""
    return re.sub(r'["`]', "", relation).lower()


def unknown_read(sql: str, known: Iterable[str]) -> str | None:
    """The first relation in ``sql`` that is not among ``known`` (:func:`plain_name` of each), or what is in doubt."""
    if re.search(r"\\['\"]", sql):
        return "a backslash before a quote"
    tokens = [
        (match.lastgroup if match.lastgroup != "tag" else "text", match.group(0))
        for match in _TOKEN.finditer(sql)
        if match.lastgroup != "skip"
    ]
    try:
        _Reader([(kind or "other", text) for kind, text in tokens], frozenset(known)).read()
    except _Unknown as found:
        return str(found)
    return None


class _Unknown(Exception):
    """Something is read that is not known."""


@dataclass
class _Frame:
    """What is open between two brackets."""

    selects: bool = False
    expects: bool = False
    """A relation comes next."""
    within: bool = False
    """In the list of a FROM."""
    empty: bool = True
    cte: str | None = None
    """The name under which the frame is known once it is closed."""
    names: set[str] = field(default_factory=set)


class _Reader:
    """Follows FROM, JOIN and WITH; no more of SQL is understood."""

    def __init__(self, tokens: list[tuple[str, str]], known: frozenset[str]) -> None:
        self.tokens = tokens
        self.known = known
        self.at = 0
        self.frames = [_Frame()]
        self.recursive = False

    def read(self) -> None:
        while self.at < len(self.tokens):
            kind, text = self.tokens[self.at]
            self._token(kind, text, self.frames[-1])
            self.at += 1

    def _token(self, kind: str, text: str, frame: _Frame) -> None:
        first, frame.empty = frame.empty, False
        word = text.lower() if kind == "word" else ""
        if text in "'\"`" and kind == "other":
            raise _Unknown("a text without an end")
        if text == "(":
            self._open(frame)
        elif text == ")":
            self._close()
        elif word in ("select", "values") or (word == "with" and not frame.within):
            frame.selects, frame.expects, frame.within = True, False, False
        elif word == "recursive":
            self.recursive = True
        elif word == "from":
            self._from(frame, first)
        elif frame.expects:
            self._item(kind, text, word, frame)
        elif word in _STATEMENTS and (first or self._before() in (")", ";")) and not frame.within:
            raise _Unknown(f"a statement with {word}")
        elif word in _ENDS_FROM or text == ";":
            frame.within = False
        elif frame.within and (word == "join" or text == ","):
            frame.expects = True

    def _before(self, steps: int = 1) -> str:
        return self.tokens[self.at - steps][1].lower() if self.at >= steps else ""

    def _from(self, frame: _Frame, first: bool) -> None:
        if self._before() == "distinct" and self._before(2) in ("is", "not"):
            return
        if frame.selects or first or len(self.frames) == 1:  # else `extract(year from x)`, `trim(both from x)`
            frame.selects = frame.expects = frame.within = True

    def _open(self, frame: _Frame) -> None:
        inner = _Frame(expects=frame.expects, within=frame.expects, cte=self._cte_before())
        frame.expects = False
        if inner.cte and self.recursive:
            frame.names.add(inner.cte)
        self.frames.append(inner)

    def _close(self) -> None:
        if len(self.frames) == 1:
            raise _Unknown("a bracket that was never opened")
        closed = self.frames.pop()
        if closed.cte:
            self.frames[-1].names.add(closed.cte)

    def _cte_before(self) -> str | None:
        """The name in ``with NAME [(columns)] as [[not] materialized] (``, at the last bracket."""
        at = self.at - 1
        while at >= 0 and self.tokens[at][1].lower() in ("materialized", "not"):
            at -= 1
        if at < 1 or self.tokens[at][1].lower() != "as":
            return None
        at -= 1
        if self.tokens[at][1] == ")":
            while at >= 0 and self.tokens[at][1] != "(":
                at -= 1
            at -= 1
        if at < 1 or self.tokens[at][0] not in ("word", "quoted"):
            return None
        lead = self.tokens[at - 1][1].lower()
        return plain_name(self.tokens[at][1]) if lead in ("with", "recursive", ",") else None

    def _item(self, kind: str, text: str, word: str, frame: _Frame) -> None:
        if word in ("lateral", "only") or (word == "table" and self._next() == "("):
            return
        if kind not in ("word", "quoted"):
            raise _Unknown(text if kind == "text" else f"what begins with {text}")
        parts = [text]
        while self._next() == "." and self.at + 2 < len(self.tokens):
            parts.append(self.tokens[self.at + 2][1])
            self.at += 2
        frame.expects = False
        name = plain_name(".".join(parts))
        if self._next() == "(":
            if name not in TABLE_FUNCTIONS:
                raise _Unknown(f"{name}()")
        elif not (len(parts) == 1 and any(name in outer.names for outer in self.frames)) and name not in self.known:
            raise _Unknown(name)

    def _next(self) -> str:
        return self.tokens[self.at + 1][1] if self.at + 1 < len(self.tokens) else ""
