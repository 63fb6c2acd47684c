"""What is to be done and where everything is: the value that travels from the launcher to the tasks with Metaflow's Config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbt_flow.project.place import DbtProject
from dbt_flow.report.rules import rules_of
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag, project_of
from dbt_flow.state.places import open_store
from dbt_flow.state.store import Store

OPTION_VARIABLES: Mapping[str, str] = {
    "target": "DBT_FLOW_TARGET",
    "upstream": "DBT_FLOW_UPSTREAM",
    "defer_to": "DBT_FLOW_DEFER_TO",
    "compare_to": "DBT_FLOW_COMPARE_TO",
    "trigger": "DBT_FLOW_TRIGGER",
    "no_reuse": "DBT_FLOW_NO_REUSE",
    "full_refresh": "DBT_FLOW_FULL_REFRESH",
    "event_time_start": "DBT_FLOW_EVENT_TIME_START",
    "event_time_end": "DBT_FLOW_EVENT_TIME_END",
    "production": "DBT_FLOW_PRODUCTION",
    "branch": "DBT_FLOW_BRANCH",
}
"""What ``dbt-flow run`` and ``deploy`` say beyond the DAG file, and the variable in which they tell the flow file's process."""

REPEATED = ("upstream", "defer_to", "compare_to", "full_refresh", "event_time_start", "event_time_end")
"""Those of them that say what a run builds and reads: a retry of the run does so, too."""

PRINT_METRICS = "DBT_FLOW_PRINT_METRICS"
"""Set by ``run --print-metrics``: each metric that is sent, or would be, is shown."""


@dataclass(frozen=True)
class Options:
    """What one run does otherwise than its DAG file says."""

    target: str | None = None
    """A dbt target instead of the DAG's."""
    upstream: str | None = None
    """When set: also build the tables of other DAGs that are missing."""
    defer_to: str | None = None
    """A target whose tables are read where this one's are missing."""
    compare_to: str | None = None
    """A folder with a manifest.json, for ``state:`` in a selection."""
    trigger: str | None = None
    """What started the run, in words."""
    no_reuse: str | None = None
    """When set: everything runs, whatever the DAG's ``reuse`` says."""
    full_refresh: str | None = None
    """When set: incremental models and seeds are made anew (dbt's own ``--full-refresh``)."""
    event_time_start: str | None = None
    """The first moment that microbatch models build; dbt's own rule when it is not set."""
    event_time_end: str | None = None
    """The first moment that they no longer build."""
    production: str | None = None
    """When set: the flow is production's, as Metaflow's ``--production`` has it."""
    branch: str | None = None
    """A branch of the Metaflow project, as Metaflow's ``--branch`` has it; the user's own without it."""

    @property
    def event_times(self) -> tuple[str, ...]:
        """The two as dbt's flags; dbt wants both or none."""
        if not self.event_time_start and not self.event_time_end:
            return ()
        return ("--event-time-start", str(self.event_time_start or ""), "--event-time-end", str(self.event_time_end or ""))

    @property
    def build_flags(self) -> tuple[str, ...]:
        """What of them ``dbt build`` is told by its own flags."""
        return (*self.event_times, *(("--full-refresh",) if self.full_refresh else ()))

    @classmethod
    def from_environment(cls) -> Options:
        """As ``dbt-flow run`` passed them to this process."""
        return cls(**{name: os.environ.get(variable) or None for name, variable in OPTION_VARIABLES.items()})


@dataclass(frozen=True)
class Job:
    """A DAG with its surroundings."""

    dag: Dag
    root: Path
    metaflow_project: str
    dbt_project: Path
    state: Path
    bucket: str | None = None
    """Where runs are remembered, when that is no folder."""
    profiles_dir: Path | None = None
    owner_contact: Mapping[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    sample_rows: int = 0
    """How many failing rows a card may show."""
    moved_from: str | None = None
    """In a task on another machine: the dbt project's folder where the run was launched."""
    telling: Mapping[str, Any] = field(default_factory=dict)
    """:class:`dbt_flow.report.rules.Rules`, who is told of what."""

    @classmethod
    def of(cls, settings: Settings, dag: Dag, options: Options | None = None) -> Job:
        """:raises InputError: the DAG names a dbt project that is not one of the settings'."""
        return cls(
            dag=dag,
            root=settings.root,
            metaflow_project=settings.project,
            dbt_project=project_of(settings, dag),
            state=settings.state,
            bucket=settings.bucket,
            profiles_dir=settings.profiles_dir,
            owner_contact=dict(settings.owners.get(dag.owner, {})),
            options=options or Options(),
            sample_rows=settings.destinations.sample_rows,
            telling=rules_of(settings, dag).to_dict(),
        )

    def to_dict(self) -> dict[str, Any]:
        """As Metaflow's Config carries it."""
        return {
            "dag": self.dag.to_dict(),
            "root": str(self.root),
            "metaflow_project": self.metaflow_project,
            "dbt_project": str(self.dbt_project),
            "state": str(self.state),
            "bucket": self.bucket,
            "profiles_dir": str(self.profiles_dir) if self.profiles_dir else None,
            "owner_contact": dict(self.owner_contact),
            "options": {name: getattr(self.options, name) for name in OPTION_VARIABLES},
            "sample_rows": self.sample_rows,
            "telling": dict(self.telling),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Job:
        """The inverse of :meth:`to_dict`."""
        return cls(
            dag=Dag.from_dict(data["dag"]),
            root=Path(data["root"]),
            metaflow_project=data["metaflow_project"],
            dbt_project=Path(data["dbt_project"]),
            state=Path(data["state"]),
            bucket=data.get("bucket"),
            profiles_dir=Path(data["profiles_dir"]) if data.get("profiles_dir") else None,
            owner_contact=data.get("owner_contact") or {},
            options=Options(**(data.get("options") or {})),
            sample_rows=int(data.get("sample_rows") or 0),
            moved_from=data.get("moved_from"),
            telling=data.get("telling") or {},
        )

    @property
    def store(self) -> Store:
        """Where runs are remembered."""
        return open_store(self.state, self.bucket)

    @property
    def shared(self) -> Store | None:
        """Where machines share what they have parsed; None where there is one machine."""
        return self.store if self.bucket else None

    @property
    def target(self) -> str | None:
        """The dbt target that was asked for; None for the profile's default."""
        return self.options.target or self.dag.target

    def project(self) -> DbtProject:
        """The dbt project as :mod:`dbt_flow.project` takes it."""
        return DbtProject(self.dbt_project, self.profiles_dir, self.target, self.dag.vars, self.dag.threads)
