"""The first thing that a task does that runs from a code package: see whether its image has what dbt-flow imports.

Only the standard library is loaded with this module: what else there is, is the question.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

FACTS = "carried/carried.json"
"""What travelled, beside the flow file (:mod:`dbt_flow.pipeline.carrying` writes it)."""


def check() -> None:
    """End this process, with what is missing, before an import fails; nothing outside a code package."""
    facts = Path(sys.argv[0]).absolute().parent / FACTS
    if not facts.is_file():
        return
    missing = [name for name in json.loads(facts.read_bytes()).get("packages", ()) if not _is_here(name)]
    if missing:
        few = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        print(f"this image is without packages that dbt-flow needs: {few}", file=sys.stderr)
        print("  -> build it with dbt-flow and the adapter installed (docs/remote.md, The image)", file=sys.stderr)
        sys.exit(2)


def _is_here(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
