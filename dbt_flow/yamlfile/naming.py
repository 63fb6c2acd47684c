"""``dag_name()``: the name of the DAG in a file: the file's own, and its version, where it has one."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

_VERSION = re.compile(rb"^version[ \t]*:[ \t]*([0-9]{1,3})[ \t]*(?:#.*)?\r?$", re.MULTILINE)


def dag_name(path: Path) -> str:
    """``carrier_risk``; with ``version: 2`` in the file ``carrier_risk_v2``.

    The line is looked for, the file not parsed: names are asked for often, also of files that are wrong.
    """
    with suppress(OSError):
        found = _VERSION.search(path.read_bytes()) if path.is_file() else None  # a pipe would never end
        if found:
            return versioned(path.stem, int(found[1]))
    return path.stem


def versioned(stem: str, version: int) -> str:
    """The name of a version: the first one has none in it."""
    return f"{stem}_v{version}" if version > 1 else stem
