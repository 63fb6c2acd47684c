"""Text for people: what dbt, a warehouse or an analyst wrote, made safe to show; durations and counts in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from statistics import median
from typing import Any

from dbt_flow import redact
from dbt_flow.records import utc_moment

MESSAGE_LIMIT = 6_000
"""Characters of one message that a card shows; the whole is in the run's log."""

# Terminal escapes (CSI, OSC, two-character ones); then what is left of C0 and C1, and characters that reorder or hide text.
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")

_ODD = re.compile(f"{_CONTROLS.pattern}|{_SURROGATES.pattern}")

_DBT_HEADING = re.compile(r"^\s*\w[\w ]* Error in [\w ]+ \S+ \(.*\)\s*$")
_DBT_PATH = re.compile(r"^\s*(compiled code at|See test failures:|>?\s*in macro|> called by)\b")

_DBT_STOCK = re.compile(r"\s*Got \d+ results?, configured to (fail|warn) if != 0\.?\s*$")


def clean(text: Any, limit: int = MESSAGE_LIMIT) -> str:
    """``text`` without secrets, terminal escapes and control characters, cut with a note when it is longer than ``limit``."""
    # Cut first: a message of megabytes would make every later step slow; escapes can only make it shorter.
    whole = str(text)
    cut = whole[: limit * 2] if len(whole) > limit * 2 else whole
    cut = _ESCAPES.sub("", cut).replace("\r\n", "\n").replace("\r", "\n")
    cut = redact.text(_SURROGATES.sub("\ufffd", _CONTROLS.sub("", cut)))
    if len(cut) <= limit and len(whole) <= limit * 2:
        return cut
    return f"{cut[:limit].rstrip()}\n… cut here; {len(whole):,} characters in all, the whole is in the run's log"


def one_line(text: Any, limit: int = 300) -> str:
    """``text`` cleaned, on one line, shortened with an ellipsis."""
    flat = " ".join(clean(text, limit * 2).split("\n… cut here")[0].split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def swept(value: Any) -> Any:
    """A JSON value with every text in it cleaned, keys too: the last look at a document before it leaves."""
    if isinstance(value, str):
        return redact.document(clean(value, len(value)) if _ODD.search(value) else value)
    if isinstance(value, dict):
        return {swept(key): swept(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [swept(item) for item in value]
    return value


def plain_message(message: str) -> str:
    """dbt's message without its heading and its machine paths: what the warehouse or the compiler said."""
    lines = [line.rstrip() for line in clean(message).split("\n")]
    kept = [line for line in lines if not _DBT_HEADING.match(line) and not _DBT_PATH.match(line)]
    indent = min((len(line) - len(line.lstrip()) for line in kept if line.strip()), default=0)
    return "\n".join(line[indent:] for line in kept).strip("\n") or "\n".join(lines).strip()


def says_nothing(message: str) -> bool:
    """Whether ``message`` is dbt's stock sentence for a failing test; the headline and the row count say it better."""
    return bool(_DBT_STOCK.match(message))


def name_of(node_id: str) -> str:
    """The name inside a dbt id: ``test.shop.unique_orders_id.1a2b3c`` gives ``unique_orders_id``."""
    parts = node_id.split(".")
    if parts[0] == "unit_test" or len(parts) < 3:
        return parts[-1]
    return parts[3] if parts[0] == "source" and len(parts) > 3 else parts[2]


def duration(seconds: float | None) -> str:
    """``0.42 s``, ``48 s``, ``3 min 05 s``, ``2 h 04 min``."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 model``, ``5,000 models``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(parts: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = [*parts] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def moment(text: str | None) -> datetime | None:
    """The time that ``text`` says, or None when it says none."""
    try:
        return utc_moment(text) if text else None
    except ValueError:
        return None


def usual_seconds(history: Iterable[Mapping[str, Any]]) -> float | None:
    """The median duration of the good runs in ``history``; None while there are none."""
    good = [float(run["seconds"]) for run in history if run.get("status") == "success" and run.get("seconds")]
    return median(good) if good else None
