"""One state of a fleet, as files in a folder: its settings, its DAGs, and what dbt selects for each of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import yaml

from dbt_flow.errors import DbtFlowError, Refusals
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.prepare import Phase, chosen_by, needs_state, parse_fleet
from dbt_flow.pipeline.softened import without_excluded
from dbt_flow.project.keys import subjects
from dbt_flow.project.parsing import Parsed
from dbt_flow.project.selecting import select
from dbt_flow.project.traits import Traits
from dbt_flow.records import Subject
from dbt_flow.settings import Flags, Settings, load_settings
from dbt_flow.spec import Dag, Fleet, load_fleet

_REBASED = ("DBT_FLOW_ROOT", "DBT_FLOW_PROJECT_DIR", "DBT_FLOW_PROFILES_DIR", "DBT_FLOW_DAGS")
_INSTALLED = ("packages.yml", "dependencies.yml", "package-lock.yml")

Words = tuple[object, ...]


@dataclass
class Project:
    """A dbt project, parsed for one target and one set of vars."""

    parsed: Parsed
    values: Mapping[str, object]
    memo: dict[Words, frozenset[str]] = field(default_factory=dict)

    @cached_property
    def traits(self) -> Traits:
        """What its nodes are, to be compared."""
        return Traits(self.parsed)

    @cached_property
    def subjects(self) -> Mapping[str, Subject]:
        """The key of every node."""
        return subjects(self.parsed, self.traits.parents, self.values)


@dataclass
class Side:
    """One state of a fleet."""

    settings: Settings
    fleet: Fleet
    only: tuple[str, ...] = ()
    """The DAGs that somebody named; empty for all."""
    dags: dict[str, Dag] = field(default_factory=dict)
    """Those that are compared."""
    jobs: dict[str, Job] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    """By name of the DAG; DAGs with the same target and vars share one."""
    members: dict[str, frozenset[str]] = field(default_factory=dict)
    """What each DAG builds; nothing for one that cannot be planned."""
    problems: dict[str, DbtFlowError] = field(default_factory=dict)
    """Why a DAG cannot be planned."""

    @property
    def builds(self) -> dict[str, frozenset[str]]:
        """:attr:`members`, of those that can be planned."""
        return {name: ids for name, ids in self.members.items() if name not in self.problems}


def read_side(settings: Settings, names: Sequence[str]) -> Side:
    """The DAG files, unparsed and without a selection.

    :param names: of the DAGs to be compared; all of them when empty
    """
    fleet = load_fleet(settings)
    dags = {dag.name: dag for dag in fleet.dags if not names or dag.name in names}
    return Side(settings, fleet, tuple(names), dags)


def parse_side(side: Side, phase: Phase) -> None:
    """Ask dbt for the projects of the DAGs: one parse for each project, target and set of vars.

    :raises DbtFlowError: dbt refuses a project
    """
    errors: list[DbtFlowError] = []
    shared: dict[int, Project] = {}
    for job, parsed in parse_fleet(side.settings, tuple(side.dags.values()), errors, phase):
        side.jobs[job.dag.name] = job
        side.projects[job.dag.name] = shared.setdefault(id(parsed), Project(parsed, job.dag.vars))
    if errors:
        raise errors[0] if len(errors) == 1 else Refusals(errors)


@contextmanager
def left_alone() -> Iterator[None]:
    """What is there is not looked at by Python's collector inside the block: a manifest is a hundred thousand objects that
    stay, and looking at them again and again costs a fifth of the time of a selection."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def select_side(side: Side, phase: Phase, when: str) -> None:
    """Ask dbt what each DAG builds."""
    for number, (name, job) in enumerate(side.jobs.items(), start=1):
        if number % 10 == 1:
            phase(f"{when}: what the DAGs select, {number} of {len(side.jobs)}")
        try:
            side.members[name] = selected(job, side.projects[name])
        except DbtFlowError as error:
            side.problems[name] = error
            side.members[name] = frozenset()


def selected(job: Job, project: Project) -> frozenset[str]:
    """What dbt builds for a DAG's words in a project, ephemerals apart; words that were asked already cost nothing.

    :raises DbtFlowError: dbt refuses the words
    """
    dag = job.dag
    chosen = dag.selection
    words = (chosen.select, chosen.exclude, chosen.selector, dag.tests.exclude)
    if words not in project.memo:
        found = without_excluded(dag, chosen_by(job, project.parsed).ids, lambda text: select(project.parsed, text))
        project.memo[words] = frozenset(key for key in found if key in project.traits and project.traits.built(key))
    return project.memo[words]


def by_state(dag: Dag) -> bool:
    """Whether a DAG selects what changed since its last good run: that is no matter of files alone."""
    return needs_state(dag)


def settings_in(tree: Path, top: Path, flags: Flags, settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings as they are in another tree of the same repository; what is remembered stays where it is.

    :param top: the repository's folder, for which ``tree`` stands
    :raises DbtFlowError: ``dbt_flow.yml`` there cannot be read, or there is no project
    """

    def there(said: str | None) -> str | None:
        if said is None:
            return None
        path = (Path.cwd() / Path(said).expanduser()).resolve()
        return str(tree / path.relative_to(top)) if top == path or top in path.parents else str(path)

    root = there(str(settings.root))
    moved = Flags(root=root, project_dir=there(flags.project_dir), profiles_dir=None)
    around = {name: there(value) or "" if name in _REBASED else value for name, value in environ.items()}
    around.pop("DBT_FLOW_ROOT", None)
    around.pop("DBT_FLOW_PROFILES_DIR", None)
    found = load_settings(moved, start=Path(str(root)), environ=around)
    profiles = settings.profiles_dir
    inside = Path(there(str(profiles)) or "") if profiles else None
    kept = inside if inside and (inside / "profiles.yml").is_file() else profiles
    return replace(found, state=settings.state, bucket=settings.bucket, profiles_dir=kept)


def furnish(before: Settings, now: Settings, tree: Path, top: Path) -> list[str]:
    """Give the projects of an earlier tree what git does not keep: installed packages and a profile, those of today, as links.

    :returns: what a person should know about it
    """
    notes = []
    for folder in before.dbt_projects:
        today = top / folder.relative_to(tree) if tree in folder.parents or folder == tree else None
        if today is None or not today.is_dir():
            continue
        profile = today / "profiles.yml"
        if now.profiles_dir is None and profile.is_file() and not (folder / "profiles.yml").exists():
            (folder / "profiles.yml").symlink_to(profile)
        install = _install_path(folder)
        if (today / install).is_dir() and not (folder / install).exists():
            _link_packages(today / install, folder / install, tree, top)
            differ = [name for name in _INSTALLED if _text(folder / name) != _text(today / name)]
            if differ:
                shown = now.shown(today / differ[0])
                notes.append(
                    f"{shown} changed: the old state is read with the packages that are installed now; "
                    "what another version of a package changes is not told"
                )
    return notes


def _install_path(folder: Path) -> str:
    try:
        said = yaml.safe_load((folder / "dbt_project.yml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # dbt will say what is wrong with it
        return "dbt_packages"
    found = said.get("packages-install-path") if isinstance(said, dict) else None
    return found if isinstance(found, str) else "dbt_packages"


def _link_packages(installed: Path, folder: Path, tree: Path, top: Path) -> None:
    """A link for each package; a local one that lies in the repository is taken from the same tree."""
    folder.mkdir(parents=True)
    for package in sorted(installed.iterdir()):
        real = package.resolve()
        inside = tree / real.relative_to(top) if package.is_symlink() and top in real.parents else None
        (folder / package.name).symlink_to(inside if inside is not None and inside.is_dir() else real)


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
