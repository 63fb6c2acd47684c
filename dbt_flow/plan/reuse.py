"""``reuse: unchanged``: which planned nodes hold what a run would make again, and why the others do not.

Nothing is deduced from what a run *should* have made. A result is reused on evidence (:class:`Made`) alone: with this key, and
with these stamps of all that is read, the relation had that stamp when it was good; and all of it is so now. What stands
above and runs in this run makes what stands below run too. What is in doubt runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from dbt_flow.plan.planned import Decision, Plan
from dbt_flow.records import BLOCKING, REUSED, SKIPPED, TEST_TYPES, NodeResult, Record, Stamp, Subject

CHANGED: Mapping[str, str] = {
    "code": "its code changed",
    "config": "its configuration changed",
    "macros": "a macro that it uses changed",
    "vars": "a var that it reads changed",
    "upstream": "the code of a view or an ephemeral model that it stands on changed",
    "target": "the target is another one",
    "project": "the project's hooks, settings or overridden macros changed",
    "versions": "dbt, the adapter or the database driver has another version",
}
"""The parts of a key, in words; the first that differs is the reason."""

HOLD_ROWS = frozenset({"table", "incremental", "snapshot", "seed"})


@dataclass(frozen=True)
class Made(Record):
    """Evidence: what was so when a node was last good."""

    key: Mapping[str, str]
    run: str
    """The run that made it, ``CarrierRisk/12``."""
    when: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    """The stamps of the relations that it read, through views and ephemeral models."""
    after: str = ""
    """The stamp of its own relation afterwards."""
    before: str = ""
    """The same before; of use where the node reads what it builds."""
    never: str = ""
    """What its compiled SQL does that lets no result hold."""
    itself: bool = False
    """Whether it reads what it builds."""
    rows: int | None = None


@dataclass(frozen=True)
class Known:
    """What is known before a run: of the project, of the target, of earlier runs."""

    subjects: Mapping[str, Subject]
    stamps: Mapping[str, Stamp]
    made: Mapping[str, Made]

    def current_view(self, key: str) -> bool:
        """Whether a view is on the target as it was made from the code of now."""
        made, stamp, subject = self.made.get(key), self.stamps.get(key), self.subjects[key]
        if made is None or stamp is None or stamp.kind != "view" or made.never or subject.never:
            return False
        return dict(made.key) == dict(subject.key) and made.after == own_token(stamp)


@dataclass(frozen=True)
class Reads:
    """What a node reads."""

    relations: tuple[str, ...]
    """What holds the rows: through ephemeral models, and through views whose code is known."""
    planned: tuple[str, ...]
    """The planned nodes on the way."""
    strange: tuple[str, ...] = ()
    """Views that this run does not build and whose code on the target is not known."""


def token(stamp: Stamp) -> str:
    """A stamp of something that is read."""
    return f"{stamp.shape}/{stamp.by}:{stamp.data}"


def own_token(stamp: Stamp | None) -> str:
    """A stamp of what was built; empty where nothing would tell that somebody else built it."""
    if stamp is None or (stamp.definition if stamp.kind == "view" else stamp.data) is None:
        return ""
    return f"{stamp.shape}/sql:{stamp.definition}" if stamp.kind == "view" else token(stamp)


def reads_of(key: str, plan: Plan, known: Known) -> Reads:
    """Follow a node's parents down to what holds rows."""
    planned_ids = {node.id for node in plan.nodes}
    relations: set[str] = set()
    strange: set[str] = set()
    on_the_way: dict[str, None] = {}
    waiting = list(known.subjects[key].parents)
    if known.subjects[key].kind == "unit_test":  # it reads the columns of what its model reads
        waiting = [above for parent in waiting if parent in known.subjects for above in known.subjects[parent].parents]
    seen: set[str] = set()
    while waiting:
        parent = waiting.pop()
        subject = known.subjects.get(parent)
        if parent in seen or subject is None:
            continue
        seen.add(parent)
        if parent in planned_ids:
            on_the_way[parent] = None
        if subject.kind in ("ephemeral", "function"):
            waiting += subject.parents
        elif subject.kind == "view":
            waiting += subject.parents
            if parent not in planned_ids and not known.current_view(parent):
                strange.add(parent)
                relations.add(parent)
        else:
            relations.add(parent)
            for same in _planned_as(plan, subject) if subject.kind == "source" else ():
                on_the_way[same] = None
    return Reads(tuple(sorted(relations)), tuple(on_the_way), tuple(sorted(strange)))


def _planned_as(plan: Plan, source: Subject) -> list[str]:
    """The planned nodes that fill a source: projects have such, without a word to dbt."""
    return [node.id for node in plan.nodes if node.relation and node.relation == source.relation]


def decide_reuse(plan: Plan, decisions: tuple[Decision, ...], known: Known) -> tuple[Decision, ...]:
    """The same decisions, in which what would run and holds already is reused, and what runs says why."""
    given = {decision.id: decision for decision in decisions}
    judge = _Judge(plan, known, {key for key, decision in given.items() if decision.decision == "run"})
    for node in plan.nodes:  # topological: what stands above is decided
        decision = given[node.id]
        if decision.decision != "run":
            continue
        why_not = judge.why_not(node.id)
        if why_not is None:
            judge.running.discard(node.id)
            given[node.id] = Decision(node.id, "reuse", f"unchanged since {known.made[node.id].run}")
        else:
            judge.started.append(node.id)
            given[node.id] = Decision(node.id, "run", why_not)
    return tuple(given[node.id] for node in plan.nodes)


@dataclass
class _Judge:
    plan: Plan
    known: Known
    running: set[str]
    """What runs, as far as it is decided; what is not yet decided counts as running."""
    started: list[str] = field(default_factory=list)

    def why_not(self, key: str) -> str | None:
        """Why a node must run; None when what it made still holds."""
        return next(self._reasons(key), None)

    def _reasons(self, key: str) -> Iterator[str]:
        subject, made = self.known.subjects.get(key), self.known.made.get(key)
        if subject is None:
            yield "never reused: nothing is known of it"
            return
        if subject.never:
            yield f"never reused: {subject.never}"
        if made is None:
            yield "no good result of it is kept"
            return
        if made.never:
            yield f"never reused: {made.never}"
        for part in {**subject.key, **made.key}:
            if subject.key.get(part) != made.key.get(part):
                yield CHANGED.get(part, f"its {part} changed")
        yield from self._above(key, subject, made)
        if subject.kind not in TEST_TYPES:
            yield from self._itself(key, subject, made)

    def _above(self, key: str, subject: Subject, made: Made) -> Iterator[str]:
        reads = reads_of(key, self.plan, self.known)
        for above in reads.planned:
            if above in self.running and self.known.subjects[above].kind != "function":
                yield f"depends on {self._name(above)}, which runs"
        if set(reads.relations) != set(made.inputs):
            yield "it reads other relations than before"
        columns_only = subject.kind in ("view", "unit_test")
        for relation in reads.relations:
            stamp = self.known.stamps.get(relation)
            if stamp is None:
                yield f"{self._name(relation)} is not there, or cannot be looked at"
            elif columns_only:
                if made.inputs.get(relation, "").partition("/")[0] != stamp.shape:
                    yield f"the columns of {self._name(relation)} changed"
            elif stamp.data is None:
                yield f"nothing tells whether the rows of {self._name(relation)} changed"
            elif made.inputs.get(relation) != token(stamp):
                yield f"{self._name(relation)} changed"
        if reads.strange and any(self.known.subjects[above].kind in HOLD_ROWS for above in self.started):
            yield f"reads the view {self._name(reads.strange[0])}, which dbt-flow has not built as it is"

    def _itself(self, key: str, subject: Subject, made: Made) -> Iterator[str]:
        stamp = self.known.stamps.get(key)
        if stamp is None:
            yield "its relation is not there"
        elif not own_token(stamp):
            yield "nothing tells whether somebody else has changed what it built"
        elif own_token(stamp) != made.after:
            yield "its relation is not as this project's runs left it"
        elif (subject.itself or made.itself) and made.before != made.after:
            yield "it reads what it builds, and no run has yet been seen to change nothing"

    def _name(self, key: str) -> str:
        return self.known.subjects[key].name if key in self.known.subjects else key


def evidence(subject: Subject, reads: Reads, now: Mapping[str, Stamp], made: Made) -> Made | None:
    """Complete ``made`` with the stamps of what was read, as they are ``now``; None where one is not known at all."""
    inputs = {}
    for relation in reads.relations:
        stamp = now.get(relation)
        if stamp is None:
            return None
        inputs[relation] = token(stamp)
    if subject.kind in TEST_TYPES:
        return replace(made, inputs=inputs)
    return replace(made, inputs=inputs, after=own_token(now.get(subject.id))) if subject.id in now else None


def withheld(plan: Plan, results: Mapping[str, NodeResult], reused: frozenset[str]) -> dict[str, NodeResult]:
    """The results, in which what would be reused is skipped when something above it failed in this run.

    ``dbt build`` would not have touched it; but it would not have called it good either.
    """
    found = dict(results)
    bad = {key for key, result in results.items() if result.status in BLOCKING or result.status == SKIPPED}
    waits: dict[str, list[str]] = {}
    for above, below in (*plan.edges, *plan.gates):
        waits.setdefault(below, []).append(above)
    for node in plan.nodes:
        if node.id in reused and any(above in bad for above in waits.get(node.id, ())):
            bad.add(node.id)
            if node.id in found and found[node.id].status == REUSED:
                found[node.id] = NodeResult(node.id, SKIPPED)
    return found
