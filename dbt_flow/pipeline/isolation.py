"""``isolate:`` where a run is launched: compile once, give each isolated model a step, and store what those steps need.

The shape of the flow travels in Metaflow's Config (:class:`Isolation`); the plan, the parts of the warm dbt and the parsed
manifest lie in the state folder until the run is settled, so that no step parses and an edit during the run changes nothing.
This module loads without dbt: steps use it too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dbt_flow.errors import StateError
from dbt_flow.pipeline.following import overtaken
from dbt_flow.pipeline.job import Job
from dbt_flow.plan.decide import decide
from dbt_flow.plan.planned import Plan
from dbt_flow.plan.waves import END, ISOLATED, START, WARM, FlowStep
from dbt_flow.project.sealing import seal, unseal
from dbt_flow.records import Record
from dbt_flow.spec.model import Resources
from dbt_flow.spec.values import megabytes
from dbt_flow.state.leftovers import left_behind, maker
from dbt_flow.state.runs import RunRecord, find_run, good_results
from dbt_flow.state.store import Store, put_json

ON_START, ON_END = "on-run-start", "on-run-end"
"""dbt's kinds of hooks."""


@dataclass(frozen=True)
class StepNeeds(Record):
    """What a step asks of the machine that it runs on."""

    memory: int | None = None
    """In MB."""
    cpu: float | None = None

    @classmethod
    def of(cls, own: Resources, common: Resources | None = None) -> StepNeeds:
        """What the DAG file says; ``common`` where ``own`` says nothing."""
        memory = own.memory or (common.memory if common else None)
        cpu = own.cpu or (common.cpu if common else None)
        return cls(None if memory is None else megabytes(memory), cpu)

    @property
    def arguments(self) -> dict[str, Any]:
        """As Metaflow's ``@resources`` takes them; empty when nothing is asked."""
        cpu = int(self.cpu) if self.cpu is not None and self.cpu == int(self.cpu) else self.cpu
        return {name: value for name, value in (("memory", self.memory), ("cpu", cpu)) if value is not None}


@dataclass(frozen=True)
class Isolation(Record):
    """A flow with isolated steps, as the Config carries it."""

    key: str
    """Where in the state the rest lies."""
    target: str
    database: str | None
    """The DuckDB file, of which one process at a time is the holder."""
    steps: tuple[FlowStep, ...]
    needs: Mapping[str, StepNeeds] = field(default_factory=dict)
    """By the Metaflow step's name."""
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids that an isolated step builds, by the Metaflow step's name, in the order in which they run."""
    waits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each of those ids the ids that it waits for, edges and gates alike."""
    hooks: tuple[str, ...] = ()
    """The kinds of hooks that the project has: ``on-run-start``, ``on-run-end``."""
    profiles_dir: str = ""
    starts: int = 0
    """How many of the steps start dbt, in a run that builds everything."""
    why: str = ""
    """Why nodes are planned, as decisions say it."""
    versions: Mapping[str, str] = field(default_factory=dict)
    manifest: str = ""
    """The digest under which ``manifest.json`` is kept."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Isolation:
        """The inverse of :meth:`to_dict`."""
        found = super().from_dict({**data, "steps": (), "needs": {}})
        object.__setattr__(found, "steps", tuple(FlowStep.from_dict(step) for step in data["steps"]))
        object.__setattr__(found, "needs", {name: StepNeeds.from_dict(need) for name, need in data["needs"].items()})
        for key in ("nodes", "waits"):
            object.__setattr__(found, key, {name: tuple(ids) for name, ids in data[key].items()})
        return found

    def step(self, name: str) -> FlowStep:
        """The flow's step of that name."""
        return next(step for step in self.steps if step.name == name)

    @property
    def isolated(self) -> tuple[FlowStep, ...]:
        """The steps that build a model of their own."""
        return tuple(step for step in self.steps if step.kind == ISOLATED)


@dataclass(frozen=True)
class Compiled:
    """What was stored for the steps of one run."""

    store: Store
    key: str

    @property
    def folder(self) -> str:
        """The key prefix."""
        return f"compiled/{self.key}"

    def put(self, shape: Isolation, plan: Plan, parts: Mapping[str, list[str]], manifest: bytes) -> None:
        """Store it; readable for this user alone, as all of the state is."""
        put_json(self.store, f"{self.folder}/shape.json", shape.to_dict())
        put_json(self.store, f"{self.folder}/plan.json", plan.to_dict())
        put_json(self.store, f"{self.folder}/parts.json", parts)
        self.store.put(f"{self.folder}/manifest.msgpack", seal(manifest) or manifest)

    def shape(self) -> Isolation:
        """The flow's shape. :raises StateError: it is not there; so for what follows."""
        return Isolation.from_dict(json.loads(self._get("shape.json")))

    def plan(self) -> Plan:
        """The run's plan."""
        return Plan.from_dict(json.loads(self._get("plan.json")))

    def part(self, step: str) -> tuple[str, ...]:
        """The ids that a warm step builds, in the order in which they run."""
        return tuple(json.loads(self._get("parts.json"))[step])

    def manifest(self) -> bytes:
        """dbt's manifest, packed."""
        return unseal(self._get("manifest.msgpack"))

    def _get(self, name: str) -> bytes:
        found = self.store.get(f"{self.folder}/{name}")
        if found is None:
            hint = "start the run anew: what was compiled for it is removed when it has ended"
            raise StateError("state-damaged", f"{self.folder}/{name} is not in the state folder", hint=hint)
        return found

    def deferred(self) -> bytes | None:
        """The other target's manifest.json, when tables that are missing are read there."""
        return self.store.get(f"{self.folder}/deferred.json")

    def drop(self) -> None:
        """Remove it: a run that is settled needs it no more, and one that follows compiles again."""
        self.store.drop(self.folder)


def new_key(job: Job, deployed: bool) -> str:
    """A key for a launch, or for a deployment, whose runs all use what it stored."""
    return f"deployed-{job.dag.name}-{os.urandom(4).hex()}" if deployed else f"{maker()}-{os.urandom(4).hex()}"


def sweep(store: Store) -> None:
    """Remove what launchers that are gone have left."""
    for key in store.list("compiled"):
        if left_behind(key):
            Compiled(store, key).drop()


def arrows(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    """For each planned node the ids that it waits for."""
    waits: dict[str, list[str]] = {node.id: [] for node in plan.nodes}
    for above, below in (*plan.edges, *plan.gates):
        waits[below].append(above)
    return {node: tuple(above) for node, above in waits.items()}


def resume_at(job: Job, shape: Isolation, origin: str | None) -> str:
    """The step at which a resumed run starts over: Metaflow takes over what is good before it, and in its wave beside it.

    A step that failed on its last attempt is good for Metaflow, so it must be told. Hooks run in every run: then it starts
    at the start.

    :param origin: the run that is resumed; None when only Metaflow knows it.
    """
    if origin is None or ON_START in shape.hooks:
        return START
    compiled = Compiled(job.store, shape.key)
    plan, ref = compiled.plan(), find_run(job.store, job.dag.name, origin)
    good = {result.id for result in good_results(RunRecord(job.store, ref))} if ref and ref.target == shape.target else set()
    gone = overtaken(job.store, [ref], good) if ref and good else {}
    again = {one.id for one in decide(plan, frozenset(good), origin, overtaken=gone) if one.decision == "run"}
    builds = {
        step.name: shape.nodes.get(step.name) or (compiled.part(step.name) if step.kind == WARM else ()) for step in shape.steps
    }
    bad = [step for step in shape.steps if again.intersection(builds[step.name])]
    if not bad:
        return END
    first = bad[0]
    beside = [step for step in bad if step.kind == ISOLATED and step.part == first.part]
    if first.kind != ISOLATED or len(beside) == 1:
        return first.name
    return next(step.name for step in shape.steps if first.name in step.next)
