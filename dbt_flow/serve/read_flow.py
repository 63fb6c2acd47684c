"""Run as a process: ``python read_flow.py FLOW_FILE OUT``: what the flow in a file listens to, written to OUT as JSON.

The file is run as ``python FLOW_FILE check`` would run it, so that Configs, mutators and ``@project`` have had their say; only
here is an author's code imported, never in the server.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any


def main(file: str, out: str) -> None:
    """Write what the flow in ``file`` listens to."""
    # This script's own folder must not be importable: its files have names of their own.
    sys.path[0] = str(Path(file).parent)
    from metaflow import FlowSpec, current  # noqa: PLC0415

    from dbt_flow.metaflow_seam import flow_facts  # noqa: PLC0415
    from dbt_flow.plan.needs import ATTRIBUTE as NEEDS  # noqa: PLC0415

    made: list[Any] = []
    construct = FlowSpec.__init__

    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        construct(self, *args, **kwargs)

    FlowSpec.__init__ = remember
    sys.argv = [file, "--quiet", "--no-pylint", "check"]
    code: Any = 0
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    if not made:
        raise SystemExit("it makes no flow: the last lines should be: if __name__ == '__main__': MyFlow()")
    if code:
        raise SystemExit(code)
    facts = {
        **flow_facts(made[-1]),
        "project": current.get("project_name"),
        "branch": current.get("branch_name"),
        "needs": getattr(made[-1], NEEDS, None),
    }
    Path(out).write_text(json.dumps(facts, default=str), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
