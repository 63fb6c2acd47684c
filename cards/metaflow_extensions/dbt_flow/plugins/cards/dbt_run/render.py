"""Lays a card's document out as one self-contained HTML page.

It stands apart from dbt-flow and from Metaflow: it takes a plain dict (``dbt_flow.report.card`` makes it) and gives text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

KNOWN_VERSION = 2
"""The newest document that this template can lay out."""

SERVED_ROWS = 300
"""Rows of a table that stand in the page without JavaScript; of a longer table the first 100 do."""

MARKED_SQL = 6_000
"""Longer SQL is shown plain: every mark costs thirty characters."""

LOOKS: Mapping[str, tuple[str, str]] = {
    # status: how it looks, and a mark for who cannot tell the colours apart
    "success": ("good", "✓"),
    "pass": ("good", "✓"),
    "no-op": ("good", "✓"),
    "fresh": ("good", "✓"),
    "reused": ("reused", "↻"),
    "warn": ("warn", "!"),
    "error": ("bad", "✕"),
    "fail": ("bad", "✕"),
    "runtime error": ("bad", "✕"),
    "partial success": ("bad", "◐"),
    "failed": ("bad", "✕"),
    "lost": ("lost", "?"),
    "cancelled": ("stop", "■"),
    "skipped": ("skip", "↷"),
    "running": ("run", "▸"),
    "waiting": ("wait", "·"),
    "": ("none", ""),
}
_STRANGE = ("bad", "✕")

COLUMNS: Mapping[str, tuple[tuple[str, str], ...]] = {
    # table: title and kind of each field of a row, in the document's order
    "models": (
        ("Name", "name"),
        ("Type", "minor"),
        ("Materialized", "minor"),
        ("Status", "status"),
        ("Time", "seconds"),
        ("Usually", "seconds"),
        ("Rows", "number"),
        ("Usual rows", "number"),
        ("Tests", "summary"),
        ("Why", "long"),
        ("Query", "query"),
    ),
    "tests": (
        ("Name", "name"),
        ("Status", "status"),
        ("Failing rows", "number"),
        ("Severity", "minor"),
        ("Of", "text"),
        ("Time", "seconds"),
        ("Why", "long"),
        ("Query", "query"),
    ),
    "sources": (
        ("Name", "name"),
        ("Freshness", "status"),
        ("Last loaded", "time"),
        ("Age", "seconds"),
        ("Rows", "number"),
        ("Last good run", "number"),
        ("Owner", "text"),
        ("What it is", "long"),
    ),
}

_SQL = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|(?P<string>'(?:[^']|'')*'?|\"[^\"]*\"?)|(?P<number>\b\d+(?:\.\d+)?\b)|(?P<word>\b(?:"
    "select|from|where|and|or|not|in|is|null|as|on|join|left|right|full|inner|outer|cross|group|by|order|having|with|union|all|"
    "distinct|case|when|then|else|end|limit|over|partition|create|table|view|insert|into|values|using|between|like|exists|cast|"
    r"true|false|asc|desc|qualify|filter|interval|lateral|recursive|except|intersect)\b)",
    re.IGNORECASE | re.DOTALL,
)


def render_card(document: Mapping[str, Any] | None) -> str:
    """The page for ``document``; a calm page with a word of explanation when there is none, or one that is too new."""
    from jinja2 import Environment, FileSystemLoader  # noqa: PLC0415 (Metaflow imports this package everywhere; jinja2 it need not)

    folder = Path(__file__).parent
    page = Environment(loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(
        duration=_duration, when=_when, day=_day, clock=_clock, sql=_sql, number=_number, tests_marks=_tests_marks
    )
    page.filters.update(time=_time)
    page.filters.update(tally=_tally, slug=_slug, shortened=_shortened, link=_link, hurts=_hurts, capfirst=_capfirst)
    page.globals.update(look=_look, mark=_mark, served=_served)
    absent = _absent(document)
    columns = _columns(document) if document and not absent else {}
    # Macros see globals alone.
    page.globals.update(columns=columns, query_page=(document or {}).get("query_page", ""))
    text = page.get_template("run.html").render(
        d=document if not absent else None,
        absent=absent,
        css=(folder / "run.css").read_text(encoding="utf-8"),
        js="\n".join((folder / name).read_text(encoding="utf-8") for name in ("graph.js", "run.js")),
        data=_script_json(_for_script(document, columns)) if document and not absent else "",
    )
    # A lone surrogate, in a document that somebody else made, must not stop the page from being written.
    return text.encode("utf-8", "replace").decode("utf-8")


def _absent(document: Mapping[str, Any] | None) -> str:
    if not document:
        return "This task left nothing to show. The run's own card is on its last step."
    version = document.get("version")
    if not isinstance(version, int) or version > KNOWN_VERSION:
        return f"This card was written by a newer dbt-flow (document version {version}); install that one to see it."
    if version < KNOWN_VERSION:
        return f"This card was written by an older dbt-flow (document version {version}); dbt-flow card RUN makes it anew."
    return ""


def _for_script(document: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """What run.js needs: the rows of the tables, and how each status looks. The drawing stands in the page itself."""
    statuses = {row[3] for row in document["models"]} | {row[1] for table in ("tests", "sources") for row in document[table]}
    return {
        "run": document["run"]["run"],
        "live": bool(document["live"]),
        "columns": columns,
        "query_page": document.get("query_page", ""),
        "models": document["models"],
        "tests": document["tests"],
        "sources": document["sources"],
        "reached": [cause["reached"] for cause in document["causes"]],
        "said": document["head"]["sentence"],
        "looks": {status: [_look(status), _mark(status)] for status in sorted(statuses)},
    }


def _columns(document: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The columns of each table; one that is empty in every row is left out."""
    return {
        table: [
            {"at": at, "title": title, "kind": kind}
            for at, (title, kind) in enumerate(columns)
            if kind == "name" or any(len(row) > at and row[at] not in (None, "") for row in document[table])
        ]
        for table, columns in COLUMNS.items()
    }


def _script_json(value: Any) -> Any:
    """JSON that may stand inside a script element: nothing in it can end the element or be read as HTML."""
    from markupsafe import Markup  # noqa: PLC0415

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 (escaped just above)


def _served(rows: list[Any]) -> list[Any]:
    return rows if len(rows) <= SERVED_ROWS else rows[:100]


def _look(status: str) -> str:
    return LOOKS.get(status, _STRANGE)[0]


def _mark(status: str) -> str:
    return LOOKS.get(status, _STRANGE)[1]


def _hurts(status: str) -> bool:
    """Whether a test with this status makes its model one to look at, although the model itself was built."""
    return _look(status) == "bad"


def _tests_marks(statuses: list[str]) -> list[tuple[str, str]]:
    """The pips of a drawn node: look and word of each test, worst first, at most eight."""
    order = {"bad": 0, "lost": 0, "stop": 1, "warn": 2, "skip": 3, "run": 4, "wait": 5}
    return sorted(((_look(status), status) for status in statuses), key=lambda pip: order.get(pip[0], 9))[:8]


def _duration(seconds: float | None) -> str:
    """``0.42 s``, ``48 s``, ``3 min 05 s``, ``2 h 04 min``; a dash for nothing."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _when(text: str | None) -> str:
    """``21 Nov 2026, 06:00:00 UTC``; the text itself when it is no time."""
    try:
        at = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return str(text or "")
    at = at.astimezone(timezone.utc) if at.tzinfo else at
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def _day(text: str) -> str:
    """A time to the minute: ``21 Nov 2026, 06:00 UTC``."""
    return re.sub(r":\d\d UTC$", " UTC", _when(text))


def _time(text: str | None) -> str:
    """A time in a table: ``2026-11-21 06:00``; run.js writes it alike."""
    try:
        at = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return str(text or "–")
    return f"{at.astimezone(timezone.utc) if at.tzinfo else at:%Y-%m-%d %H:%M}"


def _clock(text: str) -> str:
    when = _when(text)
    return when.split(", ", 1)[-1]


def _tally(statuses: list[str]) -> str:
    return ", ".join(f"{number} {status}" for status, number in Counter(statuses).most_common())


def _slug(text: str) -> str:
    return re.sub(r"[^a-z_]", "", text)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _capfirst(text: str) -> str:
    return text if text.startswith("dbt") else text[:1].upper() + text[1:]


def _link(text: str, kind: str) -> str:
    """Where a contact leads: mail, or a web address; anything else leads nowhere, so that no script hides in a link."""
    if kind == "email":
        return f"mailto:{text}"
    return text if text.startswith(("https://", "http://")) else "#"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _sql(text: str) -> Any:
    """SQL with its comments, strings, numbers and keywords marked; everything is escaped piece by piece."""
    from markupsafe import Markup, escape  # noqa: PLC0415

    if len(text) > MARKED_SQL:
        return text
    parts, at = [], 0
    for match in _SQL.finditer(text):
        parts += [escape(text[at : match.start()]), Markup('<span class="sql-{}">{}</span>').format(match.lastgroup, match[0])]
        at = match.end()
    return Markup("").join([*parts, escape(text[at:])])
