"""Both states of a fleet, compared: :class:`Comparing` at work, :class:`Comparison` the outcome."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.checkout import Revision
from dbt_flow.pipeline.evidence import Evidence
from dbt_flow.pipeline.prepare import Phase
from dbt_flow.pipeline.reasons import Pair
from dbt_flow.pipeline.sides import Project, Side, by_state, select_side, selected
from dbt_flow.plan.differences import Because, Move, Rebuilt, below, changed_parts, moves, renamed, with_their_models
from dbt_flow.project.traits import Traits
from dbt_flow.records import BUILT
from dbt_flow.settings import SETTINGS_FILE
from dbt_flow.spec import Dag
from dbt_flow.spec.key_changes import KeyChange, key_changes, same_meaning, settings_changes
from dbt_flow.yamlfile.naming import dag_name

Homes = Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]
"""For each node the DAGs that it leaves, enters, stays in."""

_SELECTS = ("select", "exclude", "selector", "tests.exclude", "project", "target", "vars")
"""Keys that say what a DAG builds."""


@dataclass(frozen=True)
class Comparison:
    """Everything that is otherwise in the work tree."""

    revision: Revision
    only: tuple[str, ...]
    """The DAGs that somebody named; empty for all."""
    before: Mapping[str, Dag]
    now: Mapping[str, Dag]
    builds: Mapping[str, int]
    """How many nodes each DAG builds now; those of a DAG that is gone, before."""
    renamed: Mapping[str, str]
    keys: tuple[tuple[str, KeyChange], ...]
    """With the DAG's name of today."""
    settings: tuple[KeyChange, ...]
    moves: tuple[Move, ...]
    rebuilt: tuple[Rebuilt, ...]
    unbuilt: Mapping[str, Because]
    """Changed models that no DAG builds."""
    names: Mapping[str, tuple[str, str]]
    """Name and type of every node that is mentioned, by id."""
    notes: tuple[str, ...]
    problems: tuple[DbtFlowError, ...]
    """What is wrong with the work tree's DAGs: those are not compared."""

    @property
    def added(self) -> tuple[Dag, ...]:
        """DAGs that were not there."""
        names = self.now.keys() - self.before.keys() - set(self.renamed.values())
        return tuple(self.now[name] for name in sorted(names))

    @property
    def removed(self) -> tuple[Dag, ...]:
        """DAGs that are no more."""
        return tuple(self.before[name] for name in sorted(self.before.keys() - self.now.keys() - set(self.renamed)))

    @property
    def empty(self) -> bool:
        """Whether nothing is otherwise."""
        parts = (self.added, self.removed, self.renamed, self.keys, self.settings, self.moves, self.rebuilt, self.unbuilt)
        return not any(parts)


class Comparing:
    """Both sides, parsed."""

    def __init__(
        self, revision: Revision, before: Side | None, now: Side, notes: Iterable[str], tops: tuple[Path, Path]
    ) -> None:
        """:param tops: the repository's folder, and the one that stands for it before"""
        self.revision, self.old, self.now = revision, before, now
        self.notes, (self.top, self.tree) = [*notes], tops
        self.only = now.only
        self.pairs: dict[tuple[int, int], Pair] = {}
        self.renamed: dict[str, str] = {}
        if revision.aside:
            self.notes.insert(0, _aside(revision))

    def compared(self, phase: Phase) -> Comparison:
        """Ask dbt for all selections, then compare."""
        old_dags = self.old.dags if self.old else {}
        for side, when in ((self.now, "now"), (self.old, self.revision.said)):
            if side is not None:
                self._leave_out(side)
                select_side(side, phase, when)
        phase("comparing")
        was, is_now = (self.old.builds if self.old else {}), self.now.builds
        broken = {dag_name(self.now.settings.root / file) for file in self.now.fleet.bad}
        for name in broken:
            was.pop(name, None)
        self.renamed = renamed(was, is_now, lambda old, new: same_meaning(old_dags[old], self.now.dags[new]))
        was = {self.renamed.get(name, name): ids for name, ids in was.items()}
        for name in [name for name in was.keys() | is_now.keys() if self._unplanned(name)]:
            was.pop(name, None)
            is_now.pop(name, None)
        found = moves(was, is_now)
        twins = self._twins(found)
        heirs = {old: new for new, old in twins.items()}
        told = with_their_models(self._moves(found, twins), lambda key: heirs.get(self._tested(key) or "", self._tested(key)))
        rebuilt, unbuilt = self._rebuilt(is_now)
        unbuilt = {} if self.only else {key: why for key, why in unbuilt.items() if key not in found}
        counts = {name: len(ids) for name, ids in {**was, **is_now}.items()}
        return Comparison(
            self.revision,
            self.only,
            {name: dag for name, dag in old_dags.items() if name not in broken},
            self.now.dags,
            counts,
            self.renamed,
            tuple(self._keys()),
            self._settings(),
            told,
            rebuilt,
            unbuilt,
            self._names([*unbuilt, *(key for move in told for key in move.tests), *_ids(rebuilt)]),
            tuple(self.notes),
            (*self.now.fleet.errors, *self.now.problems.values()),
        )

    def _leave_out(self, side: Side) -> None:
        for name in [name for name, job in side.jobs.items() if by_state(job.dag)]:
            del side.jobs[name]
            note = f"{name} selects by state:, which asks what its last good run had; what it builds is not compared"
            if note not in self.notes:
                self.notes.append(note)

    def _unplanned(self, name: str) -> bool:
        """A DAG that one of the two sides cannot plan: nothing can be said of what moved."""
        old = self._old(name)
        states = ((self.now, name), *(((self.old, old),) if self.old else ()))
        unknown = [side for side, key in states if key in side.dags and (key in side.problems or key not in side.jobs)]
        if self.old in unknown and self.old is not None and old in self.old.problems:
            self.notes.append(f"{old} selected nothing that dbt knew at {self.revision.said}: {self.old.problems[old].message}")
        return bool(unknown)

    def _old(self, name: str) -> str:
        """The name that a DAG of today had before."""
        return next((old for old, new in self.renamed.items() if new == name), name)

    # ---- keys

    def _keys(self) -> Iterable[tuple[str, KeyChange]]:
        for name, dag in self.now.dags.items():
            old = self._old(name)
            before = self.old.dags.get(old) if self.old else None
            if before is not None:
                yield from ((name, change) for change in key_changes(before, dag))

    def _settings(self) -> tuple[KeyChange, ...]:
        if self.old is None:
            return ()
        return settings_changes(self.old.settings.root / SETTINGS_FILE, self.now.settings.root / SETTINGS_FILE)

    # ---- moves

    def _moves(self, found: Homes, twins: Mapping[str, str]) -> Iterable[Move]:
        heirs = {old: new for new, old in twins.items()}
        for key, (leaves, enters, stays) in found.items():
            if key in heirs and (leaves, enters) == (found[heirs[key]][1], ()):
                continue
            pair = self._pair_of(leaves, enters)
            traits = pair.now if key in pair.now else pair.before
            was = twins.get(key)
            if was is not None and found[was][0] == enters and not leaves:
                files = pair.now.files(key)
                why = pair.evidence.plain("renamed", f"renamed from {pair.before.name(was)}", files[0] if files else None)
                yield Move(key, traits.name(key), traits.kind(key), stays=enters, because=(why,), was=was)
                continue
            because = [*(self._why(key, dag, True) for dag in enters), *(self._why(key, dag, False) for dag in leaves)]
            yield Move(key, traits.name(key), traits.kind(key), leaves, enters, stays, tuple(dict.fromkeys(because)))

    def _twins(self, found: Homes) -> dict[str, str]:
        """New nodes that are old ones under another name: each with its old id."""
        gone: dict[object, list[str]] = {}
        come: dict[object, list[str]] = {}
        for key, (leaves, enters, _) in found.items():
            pair = self._pair_of(leaves, enters)
            for mine, other, into in ((pair.before, pair.now, gone), (pair.now, pair.before, come)):
                twin = mine.twin(key) if key in mine and key not in other and mine.tested(key) is None else None
                if twin is not None:
                    into.setdefault(twin, []).append(key)
        return {keys[0]: gone[twin][0] for twin, keys in come.items() if len(keys) == 1 and len(gone.get(twin, ())) == 1}

    def _why(self, key: str, dag: str, came: bool) -> Because:
        """Why a node came into a DAG, or left it."""
        old_name = self._old(dag)
        before = self.old.dags.get(old_name) if self.old else None
        today = self.now.dags.get(dag)
        pair = self._pair(dag, old_name)
        if before is None and today is not None:
            return Because("dag-file", f"{dag} is new", today.file)
        if today is None and before is not None:
            return Because("dag-file", f"{dag} is removed", before.file)
        if before is None or today is None or self.old is None:
            return Because("dag-file", "the DAG's file changed")
        changes = [change for change in key_changes(before, today) if change.key.startswith(_SELECTS)]
        if changes and key in pair.before and key in pair.now and self._by_words(key, dag, old_name, came):
            change = changes[0]
            return Because("dag-file", f"{change.key}: {change.before} -> {change.now}", change.place.file, change.place.line)
        if today.selector and pair.before.selectors.get(today.selector) != pair.now.selectors.get(today.selector):
            return pair.evidence.because("selector", f"selector {today.selector} changed", ["selectors.yml"])
        return pair.membership(key, came)

    def _by_words(self, key: str, dag: str, old_name: str, came: bool) -> bool:
        """Whether today's words, asked of the old project, would have moved the node as well: then the words did it."""
        if self.old is None or old_name not in self.old.projects or dag not in self.now.jobs:
            return True
        try:
            return (key in selected(self.now.jobs[dag], self.old.projects[old_name])) == came
        except DbtFlowError:
            return True

    def _tested(self, key: str) -> str | None:
        for pair in self.pairs.values():
            for traits in (pair.now, pair.before):
                if key in traits:
                    return traits.tested(key)
        return None

    def _pair_of(self, leaves: Sequence[str], enters: Sequence[str]) -> Pair:
        dag = (*enters, *leaves)[0]
        return self._pair(dag, self._old(dag))

    def _pair(self, dag: str, old_name: str) -> Pair:
        """The two states of a DAG's project; of a DAG that is only in one of them, the project of the others."""
        now = self.now.projects.get(dag) or self._like(self.now, self.old, old_name)
        old = (self.old.projects.get(old_name) or self._like(self.old, self.now, dag)) if self.old else None
        one = now or old or next(iter(self.now.projects.values()))
        key = (id(now), id(old))
        if key not in self.pairs:
            folder = one.parsed.project.folder.resolve()
            part = folder.relative_to(self.tree if _inside(folder, self.tree) else self.top)
            shown = os.path.relpath(self.top / part, self.now.settings.root.resolve())
            traits = (old.traits if old else Traits(), now.traits if now else Traits())
            self.pairs[key] = Pair(*traits, Evidence(self.tree / part, self.top / part, "" if shown == "." else shown))
        return self.pairs[key]

    def _like(self, side: Side, other: Side | None, dag: str) -> Project | None:
        """A project of ``side`` that is the other side's project of ``dag``: the same folder, best with the same vars."""
        wanted = other.projects.get(dag) if other else None
        found = list({id(project): project for project in side.projects.values()}.values())
        if wanted is None:
            return found[0] if found else None
        same = [project for project in found if project.parsed.name == wanted.parsed.name]
        return next((project for project in same if project.values == wanted.values), same[0] if same else None)

    # ---- what is rebuilt

    def _rebuilt(self, builds: Mapping[str, frozenset[str]]) -> tuple[tuple[Rebuilt, ...], dict[str, Because]]:
        found: list[Rebuilt] = []
        loose: dict[str, Because] = {}
        known: dict[int, tuple[dict[str, Because], frozenset[str]]] = {}
        everywhere = frozenset().union(*builds.values()) if builds else frozenset[str]()
        for dag, ids in builds.items():
            pair = self._pair(dag, self._old(dag))
            if id(pair) not in known:
                changed = self._changed(dag, pair)
                known[id(pair)] = (changed, below(changed, pair.now.parents))
                loose |= {key: why for key, why in changed.items() if key not in everywhere and self._is_body(pair, key)}
            changed, reached = known[id(pair)]
            mine = {key: why for key, why in changed.items() if key in ids}
            under = tuple(sorted(key for key in reached & ids if key not in mine))
            if mine or under:
                found.append(Rebuilt(dag, len(ids), mine, under))
        return tuple(found), loose

    def _names(self, keys: Iterable[str]) -> dict[str, tuple[str, str]]:
        states = [traits for pair in self.pairs.values() for traits in (pair.now, pair.before)]
        found = {}
        for key in keys:
            traits = next((traits for traits in states if key in traits), None)
            found[key] = (traits.name(key), traits.kind(key)) if traits else (key, "")
        return found

    def _is_body(self, pair: Pair, key: str) -> bool:
        return pair.now.kind(key) in BUILT and pair.now.built(key)

    def _changed(self, dag: str, pair: Pair) -> dict[str, Because]:
        now = self.now.projects[dag]
        old_name = self._old(dag)
        old = (self.old.projects.get(old_name) or self._like(self.old, self.now, dag)) if self.old else None
        before = old.subjects if old else {}
        parts = changed_parts(before, now.subjects)
        fresh = [key for key in now.subjects if key not in before and now.subjects[key].kind != "source"]
        found = {key: pair.existence(key) for key in fresh}
        return found | {key: pair.change(key, part) for key, part in parts.items()}


def _ids(rebuilt: Iterable[Rebuilt]) -> Iterable[str]:
    for one in rebuilt:
        yield from one.changed
        yield from one.below


def _inside(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _aside(revision: Revision) -> str:
    many = "commits" if revision.aside > 1 else "commit"
    return (
        f"{revision.said} has {revision.aside} {many} that your work has not: what they did shows as undone; "
        f"--base {revision.said}... compares with where your work began"
    )
