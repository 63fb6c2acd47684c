"""``parse()``: ask dbt for the manifest, once per process, and keep what it resolved on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import networkx as nx
from dbt_common.exceptions import DbtBaseException, DbtInternalError

from dbt_flow import redact
from dbt_flow.errors import ProjectError
from dbt_flow.project import credentials
from dbt_flow.project.parse_cache import Exchange, ParseCache
from dbt_flow.project.place import DbtProject, working_in
from dbt_flow.project.refusals import circle, refusal
from dbt_flow.project.seams import invocation, selection
from dbt_flow.records import Target


@dataclass(frozen=True, eq=False)
class Parsed:
    """A parsed project: dbt's manifest and what dbt resolved while it parsed."""

    project: DbtProject
    manifest: Any
    """dbt's own object; what of it is read is listed in :mod:`.seams.contents`."""
    config: Any
    """dbt's ``RuntimeConfig``; holds secrets, never kept or shown."""
    target_path: Path
    profiles_dir: Path
    warnings: tuple[str, ...] = ()
    """What dbt warned about while parsing; empty when it parsed nothing anew."""

    @property
    def name(self) -> str:
        """dbt's project name."""
        return str(self.config.project_name)

    @cached_property
    def target(self) -> Target:
        """Where dbt builds, without secrets. A relative DuckDB path follows the project's folder, because dbt runs there."""
        credentials = self.config.credentials
        return Target(
            name=str(self.config.target_name),
            adapter=str(credentials.type),
            schema=str(credentials.schema),
            database=str(credentials.database) if credentials.database else None,
            threads=int(self.config.threads),
            path=database_path(credentials, self.project.folder) if credentials.type == "duckdb" else None,
        )

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """dbt's version and the adapter's."""
        found = {"dbt": str(self.manifest.metadata.dbt_version)}
        with suppress(PackageNotFoundError):  # an adapter that is on the path without being installed
            found[self.target.adapter] = version(f"dbt-{self.target.adapter}")
        return found

    @cached_property
    def manifest_digest(self) -> str:
        """Short; the same for the same files, project settings, vars and target, on every machine."""
        files = sorted((key, file.checksum.checksum) for key, file in self.manifest.files.items())
        state = self.manifest.state_check
        hashes = sorted((name, mark.checksum) for name, mark in state.project_hashes.items())
        parts = [
            files,
            hashes,
            state.project_env_vars_hash.checksum,
            dict(self.project.vars),
            self.target.name,
            self.versions["dbt"],
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    @cached_property
    def graph(self) -> Any:
        """dbt's graph, linked once for all selections.

        :raises ProjectError: models that depend on each other in a circle.
        """
        try:
            return selection.link(self.manifest)
        except Exception as error:
            raise circle(error) from None

    @cached_property
    def kept(self) -> dict[str, Any]:
        """What :func:`.seams.selection.selected_by_build` makes once for all selections."""
        return {}

    @cached_property
    def position(self) -> Mapping[str, int]:
        """The place of each id in a topological order of dbt's graph; the same whenever the graph is."""
        return {node: place for place, node in enumerate(nx.lexicographical_topological_sort(self.graph.graph))}

    def arguments(self) -> list[str]:
        """The flags that every further dbt command in this process must bear, after the command's name."""
        return dbt_flags(self.project, self.target_path, self.profiles_dir, self.target.name)


def parse(project: DbtProject, cache: Path, target_path: Path, exchange: Exchange | None = None) -> Parsed:
    """Ask dbt for the manifest of ``project``.

    :param cache: a folder that all processes share; see :mod:`.parse_cache`.
    :param target_path: a folder of this run; nothing is written into the project's own.
    :param exchange: where machines share their caches.
    :raises ProjectError: dbt cannot load or parse it; the code says which.
    """
    project = _at_rest(project)
    target_path = target_path.absolute()
    target_path.mkdir(parents=True, exist_ok=True)
    kept = ParseCache(cache.absolute(), project, target_path, exchange)
    answer = _ask(project, target_path, kept)
    if _astray(answer.exception) and kept.shared.exists():
        kept.forget()
        answer = _ask(project, target_path, kept)
    if answer.exception is not None or answer.result is None:
        kept.drop()
        if isinstance(answer.exception, (KeyboardInterrupt, SystemExit)):
            raise answer.exception
        error = answer.exception or RuntimeError("dbt gave no manifest")
        raise refusal(error, project, inside=answer.inside, said=answer.errors) from None
    kept.keep()
    redact.learn_fields(vars(answer.inside["runtime_config"].credentials))
    flags = answer.inside["flags"]
    with working_in(project.folder):
        profiles_dir = Path(flags.PROFILES_DIR).absolute()
        credentials.check(answer.inside["runtime_config"], profiles_dir)
    return Parsed(project, answer.result, answer.inside["runtime_config"], target_path, profiles_dir, answer.warnings)


def _ask(project: DbtProject, target_path: Path, kept: ParseCache) -> invocation.Answer:
    cached = kept.prepare()
    with working_in(project.folder):
        arguments = dbt_flags(project, target_path, project.profiles_dir, project.target)
        return invocation.ask(["parse", *arguments, "--no-write-json", *cached])


def _astray(error: BaseException | None) -> bool:
    """Whether dbt broke, rather than refused or was interrupted: the cache may be why."""
    return isinstance(error, Exception) and (isinstance(error, DbtInternalError) or not isinstance(error, DbtBaseException))


def _at_rest(project: DbtProject) -> DbtProject:
    """The project with absolute folders, so that nothing depends on where the process is.

    :raises ProjectError: there is no ``dbt_project.yml`` in the folder.
    """
    folder = project.folder.absolute()
    if not (folder / "dbt_project.yml").is_file():
        raise ProjectError(
            "dbt-project",
            f"there is no dbt_project.yml in {folder}",
            hint="give the folder of a dbt project, as in --project-dir path/to/project",
        )
    profiles = project.profiles_dir.absolute() if project.profiles_dir else None
    return DbtProject(folder, profiles, project.target, project.vars, project.threads)


def dbt_flags(project: DbtProject, target_path: Path, profiles_dir: Path | None, target: str | None) -> list[str]:
    """The flags that every dbt command for a project must bear, after the command's name."""
    found = ["--project-dir", str(project.folder), "--target-path", str(target_path), "--log-path", str(target_path / "logs")]
    if profiles_dir:
        found += ["--profiles-dir", str(profiles_dir)]
    if target:
        found += ["--target", target]
    if project.vars:
        found += ["--vars", json.dumps(dict(project.vars), default=str)]
    if project.threads:
        found += ["--threads", str(project.threads)]
    return [*invocation.QUIET, *found]


def database_path(credentials: Any, folder: Path) -> str | None:
    """The absolute path of the DuckDB file that a profile names, seen from the project's folder; None for no file."""
    path = str(credentials.path)
    if path.startswith((":memory:", "md:", "motherduck:", "ducklake:", "quack:")) or "://" in path:
        return None
    return str((folder / path).resolve())
