"""A task that runs from a code package, on a machine of its own: where everything is there, and whether it fits.

:mod:`.carrying` says what travels. Nothing of dbt is loaded here: whether it is installed is one of the questions.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbt_flow.errors import ProjectError
from dbt_flow.pipeline.job import Job
from dbt_flow.project.parse_cache import ParseCache, dbt_versions, settle_here
from dbt_flow.report.sender import FAR_VARIABLE
from dbt_flow.state.places import PLACES_VARIABLE

CARRIED, FACTS, PARSED = "carried", "carried.json", "parsed.msgpack"
"""The folder in the code package, what it says of itself, and dbt's parse."""


def arrive(config: Mapping[str, Any], package: Path) -> dict[str, Any]:
    """The Config with every folder as it is called on this machine; as it was for a task on the machine that launched it.

    A run that is resumed may have been launched elsewhere, from another folder: its Config is that of then and there. What a
    call says beyond the DAG file holds, and what it does not say is as it was.

    :param package: the folder of the flow file.
    """
    facts = _facts(package)
    if facts is None:
        here = json.loads(os.environ.get(PLACES_VARIABLE) or "{}")
        said = {name: value for name, value in (here.get("options") or {}).items() if value}
        return {**config, **here, "options": {**(config.get("options") or {}), **said}} if here else dict(config)
    folder = package.absolute() / CARRIED
    found = {
        **config,
        "root": str(folder / "files"),
        "dbt_project": str(folder / facts["project"]),
        "profiles_dir": str(folder / "profiles"),
        "state": str(package.absolute() / ".dbt_flow"),
        "moved_from": facts["moved_from"],
    }
    if found.get("isolation"):
        found["isolation"] = {**found["isolation"], "profiles_dir": found["profiles_dir"]}
    os.environ[FAR_VARIABLE] = "1"
    os.environ |= {
        "DBT_FLOW_ROOT": found["root"],
        "DBT_FLOW_STATE": str(found["bucket"]),
        "DBT_FLOW_PROFILES_DIR": found["profiles_dir"],
    }
    _unpack_parse(Job.from_dict(found), folder / PARSED)
    return found


def check_versions(package: Path) -> None:
    """See whether dbt is here as it was where the run was launched.

    :raises ProjectError: ``other-versions``.
    """
    facts = _facts(package)
    if facts is None:
        return
    here = {"python": python_version(), **dbt_versions()}
    wrong = [
        f"{name} {wanted}, here {here.get(name) or 'none'}"
        for name, wanted in facts["versions"].items()
        if here.get(name) != wanted
    ]
    if wrong:
        raise ProjectError(
            "other-versions",
            f"this machine has other versions than the one that launched the run: {'; '.join(wrong)}",
            hint="build the image anew with the launcher's versions (docs/remote.md), or launch from the image itself",
        )


def python_version() -> str:
    """``3.11``."""
    return ".".join(map(str, sys.version_info[:2]))


def _facts(package: Path) -> dict[str, Any] | None:
    """What was packed; None for a flow file that is no part of a package."""
    try:
        found: dict[str, Any] = json.loads((package / CARRIED / FACTS).read_bytes())
    except FileNotFoundError:
        return None
    return found


def _unpack_parse(job: Job, carried: Path) -> None:
    kept = ParseCache(job.state / "parse", job.project(), job.state)
    if carried.is_file() and not kept.shared.exists():
        settle_here(kept, carried.read_bytes(), str(job.moved_from), str(job.dbt_project))
