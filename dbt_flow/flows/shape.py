"""The shape of a DAG's flow when it has isolated steps: asked of dbt where it is launched, found again where it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.isolation import Compiled, Isolation, resume_at
from dbt_flow.pipeline.job import Job
from dbt_flow.run.recorder import Feed
from dbt_flow.state.places import PLACES_VARIABLE, open_store
from dbt_flow.state.store import Store

SHAPE_VARIABLE = "DBT_FLOW_SHAPE"
"""Set for ``resume``, when Metaflow takes the Config from the run that is resumed: the key of what was compiled now, or ``-``
for a flow that has no isolated steps now."""
_PLACES = ("root", "dbt_project", "profiles_dir", "state", "bucket", "options")
"""What of a Config is of the machine and the call, and not of the DAG."""

LOCAL = ("run", "resume")
DEPLOYING = ("argo-workflows", "step-functions", "airflow")
_MOST_ON_DUCKDB = 3  # tasks at once where one works and the others wait for the file: enough to hide their start


def isolation_of(job: Job, command: str | None) -> dict[str, Any] | None:
    """The shape as the Config carries it. dbt is loaded for a DAG with ``isolate:`` alone."""
    if not job.dag.isolate:
        return None
    from dbt_flow.pipeline.compiling import compile_isolated

    feed = Feed.from_environment()
    try:
        shape = compile_isolated(
            job,
            lambda text: feed.tell("phase", text=text),
            store=command in (*LOCAL, *DEPLOYING),
            deployed=command in DEPLOYING,
        )
    except DbtFlowError:
        if command not in LOCAL:
            raise
        return None  # a run of one step is refused in the same way, and leaves a record and a card of it
    return None if shape is None else shape.to_dict()


def store_in(config: Mapping[str, Any]) -> Store:
    """Where the runs of a Config are remembered."""
    return open_store(Path(config["state"]), config.get("bucket"))


def shape_of(config: Mapping[str, Any]) -> Isolation | None:
    """The shape of the flow that a Config describes; None for one step."""
    key = os.environ.get(SHAPE_VARIABLE)
    if key == "-":
        return None
    if key:
        return Compiled(store_in(config), key).shape()
    found = config.get("isolation")
    return Isolation.from_dict(found) if found else None


def namespace_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of Metaflow's ``@project``.

    Its options ``--production`` and ``--branch`` are not there for a decorator that a mutator adds, neither at the launch nor
    in a pod: they travel with the Config.
    """
    options = config.get("options") or {}
    found: dict[str, Any] = {"name": config["metaflow_project"]}
    if options.get("production"):
        found["production"] = True
    if options.get("branch"):
        found["branch"] = str(options["branch"])
    return found


def forget(config: Mapping[str, Any]) -> None:
    """Remove what was compiled for a run that has ended, however it did."""
    found = config.get("isolation")
    if found:
        Compiled(store_in(config), found["key"]).drop()


def words_for(config: Mapping[str, Any], command: str, said: Sequence[str]) -> list[str]:
    """What the command line of a local run still needs: how many tasks at once, and where to resume.

    :param said: the words after the command.
    """
    found = config.get("isolation")
    if command == "resume":
        os.environ[SHAPE_VARIABLE] = found["key"] if found else "-"
        os.environ[PLACES_VARIABLE] = json.dumps({name: config[name] for name in _PLACES})
    if not found:
        return []
    shape = Isolation.from_dict(found)
    words = []
    if "--max-workers" not in said:
        at_once = _MOST_ON_DUCKDB if shape.database else max(os.cpu_count() or 1, 2)
        words += ["--max-workers", str(at_once)]
    if command == "resume" and not any(step.name in said for step in shape.steps):
        origin = said[said.index("--origin-run-id") + 1] if "--origin-run-id" in said[:-1] else None
        words.append(resume_at(Job.from_dict(json.loads(json.dumps(config))), shape, origin))
    return words
