"""What the rules see: the DAGs with what dbt says they build, the projects, who waits for whom, what past runs took.

Everything here is a value. The files, dbt, the records and the clock were read before (:mod:`dbt_flow.pipeline.linting`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from statistics import median

import networkx as nx

from dbt_flow.errors import DbtFlowError
from dbt_flow.plan.lint.found import Spot
from dbt_flow.records import BUILT, Member, Target
from dbt_flow.spec import Dag

TRUSTED = 3
"""Good runs from which on the past says how long a DAG takes."""

Table = tuple[str, ...]
"""Tells one table from another, also across projects and targets."""


@dataclass(frozen=True)
class Past:
    """One good run."""

    started: datetime
    seconds: float


@dataclass(frozen=True)
class Look:
    """A DAG, and what dbt says of it."""

    dag: Dag
    folder: str
    """Of its dbt project, as settings show it."""
    target: Target
    members: Mapping[str, Member]
    """Everything in its project, as its target and vars make it."""
    builds: frozenset[str]
    """Ids that its runs execute, and ephemerals among its selection."""
    owns: bool = True
    """False for a selection by ``state:``: it builds what has changed, whosever that is."""
    nothing: tuple[tuple[str, str], ...] = ()
    """Keys of its selections that take nothing, each with dbt's sentence, or none when all of it takes nothing."""
    required: tuple[str, ...] = ()
    """Ids of the sources that it requires to be fresh."""
    past: tuple[Past, ...] = ()
    """Its last good runs on the target, newest first."""

    @property
    def name(self) -> str:
        """Of the DAG."""
        return self.dag.name

    @property
    def by_hand(self) -> bool:
        """Whether its file says that nothing starts it."""
        return self.dag.trigger.kind == "none" and "trigger" in self.dag.origins

    @property
    def usual(self) -> float | None:
        """Seconds that a good run takes, by the median of the last; None while there are too few."""
        return median(run.seconds for run in self.past) if len(self.past) >= TRUSTED else None

    def table(self, member: Member) -> Table:
        """Which table a member is on this DAG's target."""
        if not member.relation:
            return (self.folder, self.target.name, member.id)
        return (self.target.adapter, self.target.path or "", member.relation.casefold())

    def above(self, member: Member) -> Iterator[Member]:
        """What a member reads: its parents, and those of ephemerals in between."""
        waiting, seen = list(member.parents), set[str]()
        while waiting:
            parent = self.members.get(waiting.pop())
            if parent is None or parent.id in seen:
                continue
            seen.add(parent.id)
            if parent.inlined:
                waiting += parent.parents
            yield parent

    def spot(self, member: Member) -> Spot:
        """Where it stands."""
        return Spot(self.folder, member.id)


@dataclass(frozen=True)
class Project:
    """A dbt project, whatever DAGs there are."""

    folder: str
    package: str
    """Its own package; the others are installed."""
    members: Mapping[str, Member]
    groups: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    """Each group of its own: name, the names and addresses of its owner, file."""


@dataclass(frozen=True)
class Waiter:
    """A DAG or an ML flow: the names of those for whose end it waits, or its schedule."""

    name: str
    waits: tuple[str, ...] = ()
    any: bool = False
    schedule: tuple[str, ...] = ()
    zone: str = "UTC"


@dataclass(frozen=True)
class Landscape:
    """All of it."""

    looks: tuple[Look, ...]
    projects: tuple[Project, ...]
    now: datetime
    waiters: Mapping[str, Waiter] = field(default_factory=dict)
    """By name: DAGs, also those that cannot run as they are, and ML flows."""
    dags: Mapping[str, Dag] = field(default_factory=dict)
    """By name: every DAG whose file reads well."""
    owners: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    strangers: tuple[DbtFlowError, ...] = ()
    """DAGs whose owner is no team: the errors of ``validate``."""
    deaf: tuple[DbtFlowError, ...] = ()
    """Triggers that wait for what nobody has."""

    @cached_property
    def by_name(self) -> Mapping[str, Look]:
        """The DAGs of :attr:`looks`."""
        return {look.name: look for look in self.looks}

    @cached_property
    def builders(self) -> Mapping[Table, tuple[Look, ...]]:
        """Which DAGs build each table."""
        found: dict[Table, list[Look]] = defaultdict(list)
        for look in self.looks:
            for member in _built(look):
                found[look.table(member)].append(look)
        return {table: tuple(looks) for table, looks in found.items()}

    @cached_property
    def covered(self) -> frozenset[tuple[str, str]]:
        """Folder and id of everything that a DAG executes, or that stands inside what one executes."""
        found: set[tuple[str, str]] = set()
        for look in self.looks:
            if not look.owns:
                continue
            for key in look.builds:
                found.add((look.folder, key))
                member = look.members.get(key)
                above = look.above(member) if member else ()
                found.update((look.folder, parent.id) for parent in above if parent.inlined)
        return frozenset(found)

    @cached_property
    def read(self) -> frozenset[tuple[str, str]]:
        """Folder and id of everything that something reads which a DAG executes."""
        chosen = ((look, look.members[key]) for look in self.looks for key in look.builds if key in look.members)
        return frozenset((look.folder, parent.id) for look, member in chosen for parent in look.above(member))

    @cached_property
    def sure(self) -> Mapping[str, frozenset[str]]:
        """For each name all that has ended well whenever it starts, through ``after``; in a circle, all of the circle."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.waiters)
        graph.add_edges_from((other, name) for name, waiter in self.waiters.items() for other in waiter.waits)
        knots = nx.condensation(graph)
        found: dict[str, frozenset[str]] = {}
        for knot in nx.topological_sort(knots):
            names = knots.nodes[knot]["members"]
            for name in names:
                waiter = self.waiters.get(name)
                each = [found.get(other, frozenset(names)) | {other} for other in waiter.waits] if waiter else []
                any_of = waiter is not None and waiter.any and bool(each)
                found[name] = frozenset.intersection(*each) if any_of else frozenset[str]().union(*each)
        return found


def _built(look: Look) -> Iterator[Member]:
    if not look.owns:
        return
    for key in look.builds:
        member = look.members.get(key)
        if member is not None and member.type in BUILT and not member.inlined:
            yield member
