"""What Metaflow's local metadata says of runs: files under ``.metaflow``, read without Metaflow.

The rule for ML flows that this runtime did not start: a run is good when the last attempt of its last step's task says
``attempt_ok: True``. With a metadata service there are no such files, and only runs that the runtime started itself are known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOOK_BACK = 20


def metaflow_root(start: Path, environ: Mapping[str, str] | None = None) -> Path | None:
    """The folder where Metaflow keeps local runs, found as Metaflow finds it; None when there is none yet."""
    said = (os.environ if environ is None else environ).get("METAFLOW_DATASTORE_SYSROOT_LOCAL")
    if said:
        return Path(said) / ".metaflow" if not said.endswith(".metaflow") else Path(said)
    return next((folder / ".metaflow" for folder in (start, *start.parents) if (folder / ".metaflow").is_dir()), None)


def project_and_branch(cards: Mapping[str, Any] | None, run: str) -> tuple[str | None, str | None] | None:
    """Of a run (``CarrierRisk/12``) whose attempt noted where its cards are kept; None when that is not local."""
    if not cards or cards.get("kind") != "local":
        return None
    return tags_of(Path(str(cards["root"])).parent / run)


def tags_of(folder: Path) -> tuple[str | None, str | None] | None:
    """Project and branch that a run's own tags name."""
    document = _read(folder / "_meta" / "_self.json")
    if document is None:
        return None
    tags = dict(str(tag).partition(":")[::2] for tag in document.get("system_tags", ()))
    return tags.get("project"), tags.get("project_branch")


def find_tagged(root: Path | None, flow: str, tag: str) -> str | None:
    """The id of the newest run of a flow that bears a tag."""
    for number in newest(root, flow):
        document = _read((root or Path()) / flow / number / "_meta" / "_self.json")
        if document is not None and tag in document.get("tags", ()):
            return number
    return None


def newest(root: Path | None, flow: str) -> list[str]:
    """Ids of a flow's newest runs, newest first."""
    try:
        numbers = [name for name in os.listdir((root or Path(os.devnull)) / flow) if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []
    return sorted(numbers, key=lambda number: (len(number), number), reverse=True)[:LOOK_BACK]


def good_end(root: Path, flow: str, number: str, step: str) -> tuple[str, float] | None:
    """The pathspec of the last step's task and when it ended, when that was good; None otherwise, or not yet."""
    folder = root / flow / number / step
    try:
        tasks = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("_"))
    except OSError:
        return None
    for task in tasks:
        said = [_read(path) for path in (folder / task / "_meta").glob("sysmeta_attempt_ok_*.json")]
        told = [document for document in said if document is not None]
        if told:
            last = max(told, key=lambda document: int(document.get("ts_epoch", 0)))
            if str(last.get("value")) == "True":
                return f"{flow}/{number}/{step}/{task}", int(last.get("ts_epoch", 0)) / 1000
    return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
