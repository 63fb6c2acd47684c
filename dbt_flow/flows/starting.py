"""The first step of a run on Argo: what its pod's variables say of it, and whether it builds.

:mod:`dbt_flow.pipeline.first_step` decides.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from metaflow import current

TEMPLATE, NAMESPACE = "ARGO_WORKFLOW_TEMPLATE", "ARGO_WORKFLOW_NAMESPACE"
"""Set by Metaflow in the pods of a workflow."""


def weigh(config: dict[str, Any], task_of: Callable[[Any], Any]) -> tuple[dict[str, Any], str | None]:
    """The Config of a run that builds, with what started it; else, also, why it does not build: that is recorded by now.

    :raises DbtFlowError: the state cannot be read or written.
    """
    template = os.environ.get(TEMPLATE)
    if template is None:
        return config, None
    from dbt_flow.pipeline.attempt import Task
    from dbt_flow.pipeline.first_step import Deployed, decide_start, leave_out
    from dbt_flow.pipeline.job import Job
    from dbt_flow.pipeline.receipt import MISSING_VARIABLE

    job, task = Job.from_dict(config), task_of(Task)
    place = Deployed(template, os.environ.get(NAMESPACE) or "default", str(current.project_name), str(current.branch_name))
    verdict = decide_start(job, task, place, os.environ)
    if verdict is None:
        return config, None
    if not verdict.builds:
        print(f"{task.flow}/{task.run} builds nothing: {verdict.said}", flush=True)
        leave_out(job, task, verdict)
        return config, verdict.said
    if verdict.missing:
        os.environ[MISSING_VARIABLE] = json.dumps(list(verdict.missing))
    return {**config, "options": {**(config.get("options") or {}), "trigger": verdict.said}}, None
