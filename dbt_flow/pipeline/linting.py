"""``lint()``: gather what the rules of :mod:`dbt_flow.plan.lint` see, let them judge, and find the place of what they found.

One parse for each dbt project, target and set of vars, one selection by dbt for each DAG. No warehouse is asked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.lint_places import Places
from dbt_flow.pipeline.prepare import Phase, chosen_by, needs_state, parse_fleet
from dbt_flow.pipeline.softened import without_excluded
from dbt_flow.plan.lint.found import Finding, Found, Rule, Spot
from dbt_flow.plan.lint.landscape import Landscape, Look, Past, Project, Waiter
from dbt_flow.plan.lint.rulebook import RULES, Silence, silenced
from dbt_flow.project.census import Census, census
from dbt_flow.project.parsing import Parsed, parse
from dbt_flow.project.place import DbtProject
from dbt_flow.project.selecting import select, selection_of, sources_of
from dbt_flow.records import SUCCESS, utc_moment
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag, Fleet, project_of
from dbt_flow.state.history import history
from dbt_flow.yamlfile import read

FOUND_BY_RULES = frozenset({"unknown-owner", "waits-for-itself"})
"""Errors of ``validate`` that are findings here: they are between files, and the files themselves read well."""
REMEMBERED = 10
"""Good runs that say what is usual."""


@dataclass(frozen=True)
class Listeners:
    """ML flows, as the local runtime reads them: who waits for whom."""

    waiters: tuple[Waiter, ...] = ()
    deaf: tuple[DbtFlowError, ...] = ()
    """Triggers that wait for what nobody has."""
    errors: tuple[DbtFlowError, ...] = ()
    """Files that cannot be used."""


@dataclass(frozen=True)
class Linted:
    """What was found."""

    land: Landscape
    found: tuple[tuple[Rule, Found], ...]
    findings: tuple[Finding, ...]
    errors: tuple[DbtFlowError, ...]
    """Files and projects that cannot be used."""
    notes: tuple[str, ...] = ()


@dataclass
class Linter:
    """One look over a fleet; a second one, after files were mended, parses nothing again."""

    settings: Settings
    now: datetime
    phase: Phase = lambda _: None
    parsed: dict[str, Parsed | None] = field(default_factory=dict)
    censuses: dict[int, Census] = field(default_factory=dict)
    blind: str = ""
    """Why nothing is known of past runs."""

    def lint(self, fleet: Fleet, listeners: Listeners = Listeners()) -> Linted:
        """Look at everything. Nothing is raised for what DAG files or projects may hold: it is among the errors."""
        errors = [error for error in fleet.errors if error.code not in FOUND_BY_RULES]
        errors += listeners.errors
        dags = (*fleet.dags, *fleet.misfits)
        read_well = {dag.file for dag in dags}
        whole = not errors
        looks, projects = self._looks(dags, errors)
        whole = whole and not errors
        land = Landscape(
            looks=tuple(looks),
            projects=tuple(projects),
            now=self.now,
            waiters={waiter.name: waiter for waiter in (*listeners.waiters, *map(_waiter, dags))},
            dags={dag.name: dag for dag in dags},
            owners=self.settings.owners,
            strangers=tuple(error for error in fleet.errors if error.code == "unknown-owner"),
            deaf=listeners.deaf,
        )
        found = silenced(land, self._silences(land), whole)
        findings = Places(self.settings, land).findings(found)
        notes = []
        if not whole:
            unread = sorted({str(file) for file in fleet.bad} - read_well)
            because = f"{', '.join(unread)} cannot be read" if unread else "there are errors"
            left = ", ".join(code for code, rule in RULES.items() if rule.whole)
            notes.append(f"{because}: nothing is said of what no DAG does ({left})")
        if self.blind:
            notes.append(f"nothing is known of past runs, and nothing is said of how long they take: {self.blind}")
        return Linted(land, tuple(found), findings, tuple(errors), tuple(notes))

    # ---- dbt

    def _looks(self, dags: Sequence[Dag], errors: list[DbtFlowError]) -> tuple[list[Look], list[Project]]:
        looks: list[Look] = []
        known: dict[str, list[Census]] = {}
        for number, (job, parsed) in enumerate(parse_fleet(self.settings, dags, errors, self.phase, self.parsed), 1):
            if not looks:
                self.phase("asking dbt what the DAGs select")
            elif number % 10 == 0:
                self.phase(f"asking dbt what the DAGs select: {number} of {len(dags)}")
            folder = self.settings.shown(project_of(self.settings, job.dag))
            taken = self._census(parsed)
            if taken not in known.setdefault(folder, []):
                known[folder].append(taken)
            try:
                looks.append(self._look(job, parsed, folder))
            except DbtFlowError as error:
                errors.append(error)
        for path in self.settings.dbt_projects:
            left = None if any(path == project_of(self.settings, dag) for dag in dags) else self._without_dags(path, errors)
            if left is not None:
                known[self.settings.shown(path)] = [self._census(left)]
        return looks, [_project(folder, censuses) for folder, censuses in known.items()]

    def _without_dags(self, path: Path, errors: list[DbtFlowError]) -> Parsed | None:
        """A dbt project of which no DAG builds anything."""
        key = str(path)
        if key not in self.parsed:
            self.phase(f"asking dbt for {self.settings.shown(path)}")
            with tempfile.TemporaryDirectory(prefix="dbt-flow-lint-") as folder:
                try:
                    project = DbtProject(path, self.settings.profiles_dir)
                    self.parsed[key] = parse(project, self.settings.state / "parse", Path(folder))
                except DbtFlowError as error:
                    errors.append(error)
                    self.parsed[key] = None
        return self.parsed[key]

    def _census(self, parsed: Parsed) -> Census:
        if id(parsed) not in self.censuses:
            self.censuses[id(parsed)] = census(parsed)
        return self.censuses[id(parsed)]

    def _look(self, job: Job, parsed: Parsed, folder: str) -> Look:
        dag, members = job.dag, self._census(parsed).members
        owns = not needs_state(dag)
        builds: frozenset[str] = frozenset()
        nothing: list[tuple[str, str]] = []
        if owns:
            chosen = chosen_by(job, parsed)
            builds = without_excluded(dag, chosen.ids, lambda words: select(parsed, words))
            nothing += _nothing(dag, bool(chosen.ids), chosen.unmatched)
        required, more = self._required(dag, parsed)
        return Look(
            dag=dag,
            folder=folder,
            target=parsed.target,
            members=members,
            builds=builds,
            owns=owns,
            nothing=(*nothing, *_elsewhere(dag, parsed), *more),
            required=tuple(key for key in required if key in members),
            past=tuple(self._past(job, parsed.target.name)),
        )

    def _required(self, dag: Dag, parsed: Parsed) -> tuple[list[str], list[tuple[str, str]]]:
        if dag.require_fresh is None:
            return [], []
        taken = sources_of(parsed, dag.require_fresh.select)
        empty = [("require_fresh", "")] if not taken.ids else []
        return sorted(taken.ids), empty or [("require_fresh", sentence) for sentence in taken.unmatched]

    def _past(self, job: Job, target: str) -> Iterator[Past]:
        """The last good runs. Damage costs the damaged lines; a bucket that does not answer is asked once."""
        if self.blind:
            return
        try:
            lines = history(job.store, job.dag.name, target)
        except DbtFlowError as error:
            self.blind = error.message
            return
        for line in islice((line for line in lines if line.get("status") == SUCCESS), REMEMBERED):
            with suppress(ValueError, TypeError, AttributeError):
                yield Past(utc_moment(line["started"]), float(line["seconds"]))

    # ---- silences

    def _silences(self, land: Landscape) -> Iterator[Silence]:
        yield from _of_dags(land)
        yield from _of_nodes(land)
        if self.settings.file is not None and self.settings.file.is_file():
            document = read(self.settings.file, name=self.settings.shown(self.settings.file), empty_ok=True)
            past = any(look.usual is not None for look in land.looks)
            for code, reason in _ignored(document.data).items():
                judged = past or code not in RULES or not RULES[code].past
                place = document.place(("lint", "ignore", code), key=True)
                yield Silence(code, reason if isinstance(reason, str) else None, place, judged=judged)


def _ignored(data: Any) -> Mapping[str, Any]:
    said = data.get("lint") if isinstance(data, dict) else None
    codes = said.get("ignore") if isinstance(said, dict) else None
    return codes if isinstance(codes, dict) else {}


def _of_dags(land: Landscape) -> Iterator[Silence]:
    """Those in DAG files; one that stands in a defaults file is one silence, whatever number of DAGs it is for."""
    shared: dict[tuple[str, Any], tuple[str | None, list[str]]] = {}
    for name, dag in land.dags.items():
        for code, reason in dag.lint.ignore.items():
            shared.setdefault((code, dag.place(f"lint.ignore.{code}")), (reason, []))[1].append(name)
    for (code, place), (reason, names) in shared.items():
        past = any(look.usual is not None for look in land.looks if look.name in names)
        judged = past or code not in RULES or not RULES[code].past
        yield Silence(code, reason, place, tuple(names), judged=judged)


def _of_nodes(land: Landscape) -> Iterator[Silence]:
    """Those in dbt meta; one that many share, as by a folder of ``dbt_project.yml``, is one silence."""
    for project in land.projects:
        shared: dict[tuple[str, str | None, bool], list[Spot]] = {}
        for member in project.members.values():
            for code, reason in member.ignored.items():
                own = member.package == project.package  # what an installed package says is not ours to mend
                key = (code, reason if isinstance(reason, str) else None, own)
                shared.setdefault(key, []).append(Spot(project.folder, member.id))
        for (code, reason, own), spots in shared.items():
            if own or (code in RULES and reason):
                yield Silence(code, reason, spots[0], nodes=tuple(spots), judged=own)


def _waiter(dag: Dag) -> Waiter:
    after = dag.trigger.after
    schedule = tuple(str(cron) for cron in dag.trigger.schedule)
    return Waiter(dag.name, after.names if after else (), bool(after and after.any), schedule, dag.timezone)


def _project(folder: str, censuses: Sequence[Census]) -> Project:
    """A project as all its targets and vars make it."""
    first = censuses[0]
    members = dict(chain.from_iterable(one.members.items() for one in reversed(censuses)))
    groups = tuple((group.name, group.owners, group.path) for group in first.groups if group.package == first.package)
    return Project(folder, first.package, members, groups)


def _nothing(dag: Dag, some: bool, unmatched: Sequence[str]) -> list[tuple[str, str]]:
    """What of a DAG's own selection takes nothing."""
    chosen = dag.selection
    if chosen.claimed:
        return [] if some else [("", "")]
    key = "selector" if chosen.selector else "select" if chosen.select else "exclude"
    if not some:
        return [(key, "")]
    named = [("exclude" if any(_bare(word) in sentence for word in dag.exclude) else key, sentence) for sentence in unmatched]
    return [(where if getattr(dag, where) else key, sentence.rstrip(".")) for where, sentence in named]


def _bare(word: str) -> str:
    return word.strip("+@0123456789")


def _elsewhere(dag: Dag, parsed: Parsed) -> list[tuple[str, str]]:
    """The other selections of a DAG file that take nothing."""
    found: list[tuple[str, str]] = []
    wanted = [("tests.exclude", dag.tests.exclude)] if dag.tests.exclude else []
    wanted += [("isolate", item.select) for item in dag.isolate if item.select != ("all",)]
    for key, words in wanted:
        if not selection_of(parsed, words).ids:
            found.append((key, "" if len(dag.isolate) < 2 else f"{' '.join(words)} takes nothing"))
    return found
