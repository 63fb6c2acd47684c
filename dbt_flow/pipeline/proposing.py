"""What a new DAG could build: the project's proposals, with how much of each no DAG builds yet; and whether a draft is good."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.prepare import Prepared, plan_of
from dbt_flow.project.parsing import Parsed, parse
from dbt_flow.project.place import DbtProject
from dbt_flow.project.proposals import Proposal, counts, proposals
from dbt_flow.project.typed_names import names_of
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag, load_fleet, project_of
from dbt_flow.state.names import keep_names
from dbt_flow.state.places import store_of


@dataclass(frozen=True)
class Offer:
    """A proposal beside what is there."""

    proposal: Proposal
    free: int
    """Models of it that no DAG builds yet."""


@dataclass
class Desk:
    """A parsed project with the DAGs that are there."""

    settings: Settings
    parsed: Parsed
    built: frozenset[str]
    """What some DAG builds."""

    def offers(self, told: Callable[[str], None]) -> tuple[Offer, ...]:
        """The project's proposals, each with what is free of it."""
        return tuple(Offer(each, self._free(each)) for each in proposals(self.parsed, told))

    def _free(self, proposal: Proposal) -> int:
        return counts(self.parsed, proposal.ids - self.built)[0]

    def check(self, dag: Dag) -> Prepared:
        """The plan of a DAG of this project.

        :raises DbtFlowError: dbt refuses its selection, or it selects nothing.
        """
        return plan_of(Job.of(self.settings, dag), self.parsed)


def desk(settings: Settings, told: Callable[[str], None]) -> Desk:
    """Ask dbt for the default project, and which of it the DAGs build; one that is wrong builds nothing.

    :raises DbtFlowError: dbt cannot parse the project.
    """
    told(f"asking dbt for {settings.shown(settings.dbt_project)}")
    with tempfile.TemporaryDirectory(prefix="dbt-flow-new-") as folder:
        project = DbtProject(settings.dbt_project, settings.profiles_dir)
        parsed = parse(project, settings.state / "parse", Path(folder))
    keep_names(store_of(settings), settings.dbt_project, names_of(parsed))
    built: set[str] = set()
    for dag in load_fleet(settings).dags:
        if project_of(settings, dag) != settings.dbt_project:
            continue
        told(f"asking dbt what {dag.name} builds")
        try:
            built |= plan_of(Job.of(settings, dag), parsed).selected
        except DbtFlowError:
            continue  # validate says what is wrong with it
    return Desk(settings, parsed, frozenset(built))
