"""``source_freshness()``: dbt's own ``source freshness`` of a selection, in this process, on the manifest that is there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt_flow.errors import ProjectError
from dbt_flow.project.parsing import Parsed
from dbt_flow.project.place import working_in
from dbt_flow.project.refusals import refusal
from dbt_flow.project.seams import freshness, invocation

FRESH = frozenset({"pass", "warn"})
"""As for dbt's exit code: ``warn_after`` is a warning. Every other status, one that we do not know included, is stale."""


@dataclass(frozen=True)
class Looked:
    """One source, as dbt found it."""

    id: str
    name: str
    status: str
    age: float | None = None
    """Seconds since it was loaded."""
    message: str = ""

    @property
    def fresh(self) -> bool:
        """Whether dbt is content with it."""
        return self.status in FRESH

    @property
    def text(self) -> str:
        """``raw.orders (loaded 2.5 h ago)``."""
        if self.age is None:
            said = " ".join(self.message.split()) if self.message else "dbt could not tell"
            return f"{self.name} ({said})"
        hours = self.age / 3600
        ago = f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} h" if hours >= 1 else f"{self.age / 60:.0f} min"
        return f"{self.name} (loaded {ago} ago)"


def source_freshness(parsed: Parsed, selection: Sequence[str]) -> tuple[tuple[Looked, ...], dict[str, Any] | None]:
    """What dbt says of each source in ``selection`` that has a freshness, and its ``sources.json``.

    :raises ProjectError: dbt refuses the selection, or the warehouse cannot be reached.
    """
    select = " ".join(" ".join(selection).split())
    command = ["source", "freshness", "--no-write-json", *parsed.arguments(), "--select", select]
    with working_in(parsed.project.folder), freshness.without_hooks():
        answer = invocation.ask(command, parsed.manifest)
    if answer.exception is not None:
        raise refusal(answer.exception, parsed.project, code="warehouse", said=answer.errors) from None
    results = getattr(answer.result, "results", None)
    if results is None:
        raise ProjectError("warehouse", "dbt gave no answer about the freshness of sources", hint="see the task's log")
    found = tuple(_looked(result) for result in results if result.node.unique_id.startswith("source."))
    return found, _document(answer.result) if found else None


def _looked(result: Any) -> Looked:
    node = result.node
    age = getattr(result, "age", None)
    status = str(getattr(result.status, "value", result.status))
    return Looked(node.unique_id, f"{node.source_name}.{node.name}", status, age, str(result.message or ""))


def _document(result: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sources.json"
        result.write(str(file))
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return document
