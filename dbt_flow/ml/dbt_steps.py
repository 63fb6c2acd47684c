"""``@dbt`` on a step: builds dbt models before the step's body, in the step's own task, as a DAG does.

The build is a run of its own in the records, named after flow and step: ``TrainCarrierRisk`` with ``@dbt`` on ``features`` is
the DAG ``train_carrier_risk_features``, and its run is ``<run>-<task>-<attempt>``. So it has a plan, a card, a receipt, and
``dbt-flow card``, ``receipt`` and ``trace`` know it. A further attempt follows the one before, and runs what has no good
result there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metaflow import UserStepDecorator, current
from metaflow.exception import MetaflowException

from dbt_flow.errors import InputError
from dbt_flow.pipeline.attempt import Task
from dbt_flow.pipeline.execute import execute
from dbt_flow.pipeline.job import Job, Options
from dbt_flow.pipeline.receipt import receipt_of_run
from dbt_flow.records import SUCCESS, flow_name
from dbt_flow.settings import load_settings
from dbt_flow.spec import Dag
from dbt_flow.spec.dag_file import MAX_NAME

_KEYS = ("select", "exclude", "target", "vars", "owner", "project", "threads")


class DbtNotGood(MetaflowException):  # type: ignore[misc]
    """What ``@dbt`` built is not good: the step's body does not run."""

    headline = "What dbt built is not good"


class dbt(UserStepDecorator):  # type: ignore[misc]
    """``@dbt(select="tag:features", target="prod", vars={"month": "2026-11"})`` above ``@step``.

    Keys are those of a DAG file: select, exclude, target, vars, owner, project, threads. ``vars`` may also be the name of a
    method or attribute of the flow that gives them, for steps that fan out: ``@dbt(select="features", vars="month_vars")``.

    In the step ``self.dbt`` has ``run``, ``status``, ``counts``, ``nodes`` and ``receipt``, the digest of its receipt. When
    the build is not good the step raises before its body: nothing downstream sees what failed.
    """

    def init(self, *args: Any, **kwargs: Any) -> None:
        """Metaflow calls this with what stands in the decorator."""
        unknown = sorted(set(kwargs) - set(_KEYS))
        if args or unknown:
            what = f"@dbt does not know {', '.join(unknown)}" if unknown else "@dbt takes keys alone"
            raise InputError("unknown-key", what, hint=f"it knows {', '.join(_KEYS)}")
        if not (kwargs.get("select") or kwargs.get("exclude")):
            raise InputError("missing-key", "@dbt selects nothing", hint='say what to build: @dbt(select="tag:features")')
        self._said = dict(kwargs)

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> None:  # noqa: ARG002 - Metaflow's signature
        """Metaflow calls this in the task, before the step's body."""
        settings = load_settings()
        dag = self._dag(step_name, flow)
        job = Job.of(settings, dag, Options(trigger=f"@dbt of {current.pathspec}"))
        number = f"{current.run_id}-{str(current.task_id).zfill(6)}"  # their order as texts is that of time
        attempt = int(current.retry_count)
        before = f"{number}-{attempt - 1}" if attempt else None
        task = Task(dag.flow_name, f"{number}-{attempt}", current.pathspec, origin=before, whole=False)
        told = execute(job.to_dict(), {}, task)
        receipt = receipt_of_run(job.store, told.result.run)
        flow.dbt = {**told.summary, "receipt": receipt["digest"] if receipt else None}
        if told.result.status != SUCCESS or receipt is None:
            raise DbtNotGood(f"{told.result.run}: {told.result.reason}")

    def _dag(self, step_name: str, flow: Any) -> Dag:
        said: dict[str, Any] = {key: value for key, value in self._said.items() if value is not None}
        if isinstance(said.get("vars"), str):
            given = getattr(flow, said["vars"])
            said["vars"] = given() if callable(given) else given
        for key in ("select", "exclude"):
            if isinstance(said.get(key), Sequence) and not isinstance(said[key], str):
                said[key] = list(said[key])
        if isinstance(said.get("vars"), Mapping):
            said["vars"] = dict(said["vars"])
        said.setdefault("owner", current.username or "unknown")
        return Dag.from_dict({"version": 1, "name": name_of(current.flow_name, step_name), "keys": {**said, "trigger": "none"}})


def name_of(flow: str, step_name: str) -> str:
    """The name of the DAG that a step's build is: ``TrainCarrierRisk`` and ``features`` are ``train_carrier_risk_features``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", flow)
    name = re.sub(r"[^a-z0-9]+", "_", f"{words}_{step_name}".lower()).strip("_")[-MAX_NAME:].lstrip("_0123456789")
    assert flow_name(name)  # noqa: S101 - a name that Metaflow takes is one for us
    return name
