"""What differs between two states of a fleet: which node is in which DAG, and what the next runs would rebuild. Pure.

A *membership* is, for each DAG, the ids that it builds, as dbt selected them. Why a node came or went is not known here: that
is looked for where the two projects are (:mod:`dbt_flow.pipeline.reasons`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dbt_flow.records import Record, Subject

Members = Mapping[str, frozenset[str]]

PARTS = ("code", "config", "macros", "vars", "project")
"""The parts of a node's key that are its own, the plainest first. What comes from above is told by the graph."""

ALIKE = 0.5
"""A DAG that is gone and one that is new are one DAG under two names when they share this part of their nodes."""


@dataclass(frozen=True)
class Because(Record):
    """Why something is otherwise."""

    kind: str
    """``dag-file``, ``selector``, ``new``, ``removed``, ``renamed``, ``enabled``, ``tag``, ``meta``, ``config``, ``path``,
    ``sql``, ``data``, ``macro``, ``vars``, ``project``, ``graph``, ``with``."""
    text: str
    file: str | None = None
    line: int | None = None

    @property
    def place(self) -> str:
        """``models/x.sql:3``; empty where there is none."""
        return ":".join(str(part) for part in (self.file, self.line) if part is not None)


@dataclass(frozen=True)
class Move(Record):
    """A node that is not in the same DAGs as before."""

    id: str
    name: str
    type: str
    leaves: tuple[str, ...] = ()
    enters: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    """DAGs that build it before and now."""
    because: tuple[Because, ...] = ()
    tests: tuple[str, ...] = ()
    """Ids of its tests that go the same way."""
    was: str | None = None
    """Its id before, where it was renamed."""

    @property
    def change(self) -> str:
        """``moves``, ``enters``, ``leaves`` or ``renamed``."""
        if self.was:
            return "renamed"
        return "moves" if self.leaves and self.enters else "enters" if self.enters else "leaves"


@dataclass(frozen=True)
class Rebuilt(Record):
    """What the next run of a DAG would make otherwise than the last one made."""

    dag: str
    of: int
    """How many nodes it builds."""
    changed: Mapping[str, Because]
    """Nodes that are new or changed, with the reason."""
    below: tuple[str, ...] = ()
    """Nodes that are as they were, and stand on changed ones, of this DAG or of another."""


def renamed(before: Members, now: Members, same: Callable[[str, str], bool]) -> dict[str, str]:
    """DAGs under a new name: the old name to the new one.

    :param same: whether the files of an old and a new DAG say the same
    """
    pairs = []
    for old in before.keys() - now.keys():
        for new in now.keys() - before.keys():
            both = len(before[old] | now[new])
            share = len(before[old] & now[new]) / both if both else 0.0
            if share >= ALIKE or same(old, new):
                pairs.append((share, old, new))
    found: dict[str, str] = {}
    for _, old, new in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if old not in found and new not in found.values():
            found[old] = new
    return found


def moves(before: Members, now: Members) -> dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]:
    """For each node that is not in the same DAGs as before: those that it leaves, enters, and stays in."""
    was, is_now = _homes(before), _homes(now)
    found = {}
    for key in sorted(was.keys() | is_now.keys()):
        old, new = was.get(key, frozenset()), is_now.get(key, frozenset())
        if old != new:
            found[key] = (tuple(sorted(old - new)), tuple(sorted(new - old)), tuple(sorted(old & new)))
    return found


def _homes(members: Members) -> dict[str, frozenset[str]]:
    homes: dict[str, set[str]] = defaultdict(set)
    for dag, ids in members.items():
        for key in ids:
            homes[key].add(dag)
    return {key: frozenset(dags) for key, dags in homes.items()}


def with_their_models(found: Iterable[Move], tested: Callable[[str], str | None]) -> tuple[Move, ...]:
    """The moves, in which a test that goes the way of what it tests, and for no reason of its own, is told with it."""
    every = {move.id: move for move in found}
    goes: dict[str, list[str]] = defaultdict(list)
    kept = []
    for move in every.values():
        home = every.get(tested(move.id) or "")
        if home is not None and home.was and {*move.leaves, *move.enters} <= {*home.stays}:
            if move.enters:  # what the renamed model's tests were called before is nobody's news
                goes[home.id].append(move.id)
        elif home is not None and (home.leaves, home.enters) == (move.leaves, move.enters) and _born(home) == _born(move):
            goes[home.id].append(move.id)
        else:
            kept.append(move)
    return tuple(
        Move(**{**vars(move), "tests": tuple(sorted(goes[move.id]))}) if move.id in goes else move
        for move in sorted(kept, key=lambda move: (move.change, move.leaves, move.enters, move.type, move.name))
    )


def _born(move: Move) -> str:
    """Whether it is new, removed, or was there before and is now."""
    return next((because.kind for because in move.because if because.kind in ("new", "removed", "renamed")), "")


def changed_parts(before: Mapping[str, Subject], now: Mapping[str, Subject]) -> dict[str, str]:
    """Nodes that are there before and now, and are not the same: the first part of :data:`PARTS` that differs."""
    found = {}
    for key, subject in now.items():
        was = before.get(key)
        if was is None:
            continue
        part = next((name for name in PARTS if was.key.get(name) != subject.key.get(name)), None)
        part = part or ("config" if was.relation != subject.relation else None)
        if part:
            found[key] = part
    return found


def below(changed: Iterable[str], parents: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """What stands on ``changed``, through whatever lies between; without ``changed`` itself, unless it stands on another."""
    children: dict[str, list[str]] = defaultdict(list)
    for key, above in parents.items():
        for parent in above:
            children[parent].append(key)
    found: set[str] = set()
    waiting = [child for key in changed for child in children[key]]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += children[key]
    return frozenset(found)


def neighbours(graphs: Iterable[Mapping[str, tuple[str, ...]]]) -> Mapping[str, frozenset[str]]:
    """What is next to each node, above or below it, in any of the graphs."""
    beside: dict[str, set[str]] = defaultdict(set)
    for parents in graphs:
        for key, above in parents.items():
            for parent in above:
                beside[key].add(parent)
                beside[parent].add(key)
    return {key: frozenset(near) for key, near in beside.items()}


def nearest(start: str, suspects: frozenset[str], beside: Mapping[str, frozenset[str]]) -> str | None:
    """The suspect with the fewest steps from ``start``, up or down."""
    seen, ring = {start}, [start]
    while ring:
        hits = sorted(key for key in ring if key in suspects and key != start)
        if hits:
            return hits[0]
        ring = sorted({near for key in ring for near in beside.get(key, ())} - seen)
        seen.update(ring)
    return None
