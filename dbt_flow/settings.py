"""Every setting, read once and frozen: flag, then ``DBT_FLOW_*`` variable, then ``dbt_flow.yml``, then default.

:func:`load_settings` finds the root as git does, upwards: the nearest folder with a ``dbt_flow.yml``, else the nearest with a
``dbt_project.yml``, which is then a root of its own. ``project_dir`` names a dbt project that needs no ``dbt_flow.yml``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbt_flow.destinations import Destinations, read_destinations
from dbt_flow.errors import DbtFlowError, InputError, Refusals
from dbt_flow.yamlfile import Document, did_you_mean, kind_of, read, show
from dbt_flow.yamlfile.naming import dag_name

SETTINGS_FILE = "dbt_flow.yml"
DBT_PROJECT_FILE = "dbt_project.yml"
DEFAULTS_FILE = "_defaults.yaml"
SUFFIXES = (".yaml", ".yml")

VARIABLES: Mapping[str, str] = {
    "DBT_FLOW_ROOT": "the folder that holds dbt_flow.yml; found upwards from the current folder when it is not set",
    "DBT_FLOW_PROJECT_DIR": "the dbt project to run, instead of dbt_projects in dbt_flow.yml; no dbt_flow.yml is needed then",
    "DBT_FLOW_PROFILES_DIR": "the folder that holds profiles.yml; dbt's own rules when it is not set",
    "DBT_FLOW_STATE": "where runs are remembered: a folder, or s3://bucket/prefix; .dbt_flow at the root when it is not set",
    "DBT_FLOW_DAGS": "the folder that holds the DAG files; dags at the root when it is not set",
    "DBT_FLOW_PROJECT": "the Metaflow project; the dbt project's name when it is not set",
}
"""Every environment variable that dbt-flow's settings read, with a sentence each."""

KEYS: Mapping[str, str] = {
    "project": "the Metaflow project that every flow belongs to",
    "dbt_projects": "the folders of the dbt projects, the default one first",
    "dags": "the folder that holds the DAG files",
    "flows": "Python files with Metaflow flows that DAGs start, or that start DAGs; as FILE: TEAM, each with its owner",
    "state": "where runs are remembered: a folder, or s3://bucket/prefix",
    "owners": "the teams, each with how to reach it: email, slack, pagerduty",
    "alerts": "where pages and messages go, and known bad tests",
    "metrics": "where metrics go; Datadog's own variables decide without it",
    "links": "where cards, Metaflow's UI and queries are shown",
    "sample_rows": "how many failing rows a card may show [0]",
    "remote": "what runs on other machines need: image, secrets, variables",
    "lint": "findings of dbt-flow lint that are meant everywhere: ignore: {CODE: REASON}",
}
"""Every key of ``dbt_flow.yml``, with a sentence each."""

NOT_YET: Mapping[str, str] = {}
"""Keys that are understood and have no effect yet. The change that builds one deletes its line."""

CONTACTS = ("email", "slack", "pagerduty", "datadog", "webhook", "description")
"""How a team under ``owners`` can be reached."""

_PROJECT = re.compile(r"[a-z0-9_]+\Z")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\s]+)*/?\Z")


@dataclass(frozen=True)
class Settings:
    """Where everything is, and whose it is. Paths are absolute."""

    root: Path
    project: str
    """The Metaflow project: lower-case letters, digits and underscores."""
    dbt_projects: tuple[Path, ...]
    """Folders with a ``dbt_project.yml``; the first is the default."""
    dags: Path
    state: Path
    """The state folder. With a :attr:`bucket` it holds what only this machine can know: locks, logs, the events of `serve`."""
    bucket: str | None = None
    """``s3://name/prefix``, when runs are remembered there."""
    flows: tuple[Path, ...] = ()
    flow_owners: Mapping[Path, str] = field(default_factory=dict)
    """The teams of flow files, where ``flows`` says them."""
    owners: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    profiles_dir: Path | None = None
    destinations: Destinations = field(default_factory=Destinations)
    """``alerts``, ``metrics``, ``links`` and ``sample_rows``."""
    file: Path | None = None
    """The ``dbt_flow.yml`` that was read, if there is one."""

    @property
    def dbt_project(self) -> Path:
        """The default dbt project's folder."""
        return self.dbt_projects[0]

    def shown(self, path: Path) -> str:
        """A path as messages and records show it: relative to the root when it lies inside."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return str(path)


@dataclass(frozen=True)
class Flags:
    """What the command line said; None where it said nothing."""

    root: str | None = None
    project_dir: str | None = None
    profiles_dir: str | None = None
    state: str | None = None


def find_root(start: Path) -> Path:
    """The nearest folder, from ``start`` upwards, with a ``dbt_flow.yml``; else the nearest with a ``dbt_project.yml``.

    :raises InputError: ``no-project`` when there is neither
    """
    start = _absolute(start)
    folders = (start, *start.parents)
    for name in (SETTINGS_FILE, DBT_PROJECT_FILE):
        for folder in folders:
            if (folder / name).is_file():
                return folder
    misspelt = next((f / "dbt_flow.yaml" for f in folders if (f / "dbt_flow.yaml").is_file()), None)
    if misspelt:
        raise InputError("no-project", f"the settings file is named {misspelt.name}", hint=f"rename it to {SETTINGS_FILE}")
    raise InputError(
        "no-project",
        f"no {SETTINGS_FILE} and no {DBT_PROJECT_FILE} in {start} or in a folder above it",
        hint="go to your project's folder, name it with --project-dir DIR, or make one with: dbt-flow init",
    )


def load_settings(
    flags: Flags | None = None, *, start: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Find the root and read every setting.

    :param start: where the search for the root begins; the current folder by default
    :param environ: the variables; ``os.environ`` by default
    :raises DbtFlowError: when there is no project, or ``dbt_flow.yml`` is wrong (all that is wrong with it at once)
    """
    flags = flags or Flags()
    reader = _Reader(flags, os.environ if environ is None else environ, _absolute(start or Path.cwd()))
    return reader.settings()


class _Reader:
    """Flag, variable, file and default, side by side, for one call of :func:`load_settings`."""

    def __init__(self, flags: Flags, environ: Mapping[str, str], start: Path) -> None:
        self.start = start
        self.said = {
            "root": flags.root or environ.get("DBT_FLOW_ROOT"),
            "project_dir": flags.project_dir or environ.get("DBT_FLOW_PROJECT_DIR"),
            "profiles_dir": flags.profiles_dir or environ.get("DBT_FLOW_PROFILES_DIR"),
            "state": flags.state or environ.get("DBT_FLOW_STATE"),
            "dags": environ.get("DBT_FLOW_DAGS"),
            "project": environ.get("DBT_FLOW_PROJECT"),
        }
        self.errors: list[DbtFlowError] = []
        self.document = Document(SETTINGS_FILE)
        self.data: dict[str, Any] = {}

    def settings(self) -> Settings:
        project_dir = self.folder("project_dir", "--project-dir", DBT_PROJECT_FILE)
        root = self.folder("root", "--root") or self.root(project_dir)
        file = root / SETTINGS_FILE
        if file.is_file() or file.is_symlink():
            self.document = read(file, name=SETTINGS_FILE, empty_ok=True)
            self.errors += self.document.errors
            self.data = self.document.data or {}
            self.check_keys()
        dbt_projects = (project_dir,) if project_dir else self.dbt_projects(root)
        project = self.said["project"] or self.text("project") or metaflow_project(dbt_projects[0])
        if not _PROJECT.match(project):
            self.refuse(
                "bad-value", f"project {show(project)} is not made of a-z, 0-9 and _", "project", "write it in lower case"
            )
        said_dags = self.said["dags"]
        state, bucket = self.state_place(root)
        settings = Settings(
            root=root,
            project=project,
            dbt_projects=dbt_projects,
            dags=self.start / said_dags if said_dags else root / (self.text("dags") or "dags"),
            state=state,
            bucket=bucket,
            flows=tuple(flows := self.flows(root)),
            flow_owners={file: owner for file, owner in flows.items() if owner},
            owners=(owners := self.owners()),
            destinations=read_destinations(self.data, owners, self.refuse),
            profiles_dir=self.folder("profiles_dir", "--profiles-dir"),
            file=file if self.document.lines or self.data else (file if file.is_file() else None),
        )
        if self.errors:
            raise self.errors[0] if len(self.errors) == 1 else Refusals(self.errors)
        return settings

    def state_place(self, root: Path) -> tuple[Path, str | None]:
        """The folder, and the bucket if there is one."""
        said = self.said["state"] or self.text("state") or ".dbt_flow"
        scheme, found, rest = said.partition("://")
        if not found and not said.startswith("s3:"):
            return (self.start if self.said["state"] else root) / said, None
        if scheme != "s3" or not _BUCKET.match(rest):
            message = f"state {show(said)} is neither a folder nor a bucket of S3"
            hint = "write s3://BUCKET/PREFIX, or the name of a folder"
            if self.said["state"]:
                raise InputError("bad-value", message, hint=hint)
            self.refuse("bad-value", message, "state", hint)
        return root / ".dbt_flow", f"s3://{rest.strip('/')}"

    def root(self, project_dir: Path | None) -> Path:
        if project_dir is None:
            return find_root(self.start)
        above = (project_dir, *project_dir.parents)
        return next((folder for folder in above if (folder / SETTINGS_FILE).is_file()), project_dir)

    def folder(self, name: str, flag: str, holds: str | None = None) -> Path | None:
        """A folder that a flag or a variable named; it must exist."""
        said = self.said[name]
        if not said:
            return None
        folder = _absolute(self.start / Path(said).expanduser())
        if not folder.is_dir():
            raise InputError(
                "no-project", f"{flag} {said}: there is no such folder", hint=f"name an existing folder with {flag}"
            )
        if holds and not (folder / holds).is_file():
            raise InputError(
                "no-project", f"{flag} {said}: the folder has no {holds}", hint=f"name a folder that holds a {holds}"
            )
        return folder

    def refuse(self, code: str, message: str, key: str | tuple[str | int, ...], hint: str, *, at_key: bool = False) -> None:
        path = (key,) if isinstance(key, str) else key
        place = self.document.place(path, key=at_key) if path[0] in self.data else None
        self.errors.append(InputError(code, message, place=place, hint=hint))

    def check_keys(self) -> None:
        for key in self.data:
            if key not in KEYS:
                near = did_you_mean(key, KEYS)
                hint = f"did you mean {near}?" if near else f"the keys are: {', '.join(KEYS)}"
                self.refuse("unknown-key", f"unknown key {show(key)}", key, hint, at_key=True)
            elif key in NOT_YET:
                self.refuse("not-yet", f"{key}: {NOT_YET[key]}", key, "delete it for now", at_key=True)

    def text(self, key: str) -> str | None:
        """A key whose value is text."""
        value = self.data.get(key)
        if key in self.data and (not isinstance(value, str) or not value.strip()):
            self.refuse("wrong-type", f"{key} is {kind_of(value)}; text was expected", key, f"write {key}: TEXT, or delete it")
            return None
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A key whose value is text or a list of texts."""
        if key not in self.data:
            return ()
        value = self.data[key]
        items = value if isinstance(value, list) else [value]
        good = [item for item in items if isinstance(item, str) and item.strip()]
        if len(good) < len(items) or not items:
            self.refuse("wrong-type", f"{key} must be a list of texts", key, f"write {key}: [NAME, ...]")
        return tuple(good)

    def flows(self, root: Path) -> dict[Path, str]:
        """Flow files, each with its team: ``FILE: TEAM``; a list of files says no teams."""
        value, teams = self.data.get("flows"), self.data.get("owners")
        owners = teams if isinstance(teams, dict) else {}
        if not isinstance(value, dict):
            return {root / file: "" for file in self.texts("flows")}
        for file, owner in value.items():
            if not isinstance(owner, str) or owner not in owners:
                near = did_you_mean(str(owner), owners)
                hint = f"did you mean {near}?" if near else f"name a team under owners: {', '.join(owners) or 'there are none'}"
                self.refuse("unknown-owner", f"{show(owner)} is no team that owns {file}", ("flows", file), hint)
        return {root / str(file): str(owner) for file, owner in value.items()}

    def dbt_projects(self, root: Path) -> tuple[Path, ...]:
        named = self.texts("dbt_projects")
        for index, name in enumerate(named):
            if not (root / name / DBT_PROJECT_FILE).is_file():
                message = f"{show(name)} holds no {DBT_PROJECT_FILE}"
                path = ("dbt_projects", index) if isinstance(self.data["dbt_projects"], list) else ("dbt_projects",)
                self.refuse("bad-value", message, path, "name folders of dbt projects, relative to dbt_flow.yml")
        default = root / "dbt_project" if (root / "dbt_project" / DBT_PROJECT_FILE).is_file() else root
        return tuple(_absolute(root / name) for name in named) or (default,)

    def owners(self) -> dict[str, dict[str, str]]:
        value = self.data.get("owners", {})
        if not isinstance(value, dict):
            message = f"owners is {kind_of(value)}; teams with their addresses were expected"
            self.refuse("wrong-type", message, "owners", "write, under owners:, TEAM: {email: ADDRESS}")
            return {}
        owners: dict[str, dict[str, str]] = {}
        for team, contacts in value.items():
            owners[team] = {}
            if contacts is not None and not isinstance(contacts, dict):
                hint = f"write {team}: {{email: ADDRESS}}"
                self.refuse(
                    "wrong-type", f"owners.{team} is {kind_of(contacts)}; a mapping was expected", ("owners", team), hint
                )
                continue
            for kind, address in (contacts or {}).items():
                self.contact(owners[team], team, kind, address)
        return owners

    def contact(self, into: dict[str, str], team: str, kind: str, address: Any) -> None:
        path = ("owners", team, kind)
        if kind not in CONTACTS:
            near = did_you_mean(kind, CONTACTS)
            hint = f"did you mean {near}?" if near else f"the keys are: {', '.join(CONTACTS)}"
            self.refuse("unknown-key", f"unknown key {show(kind)} of the team {team}", path, hint, at_key=True)
        elif not isinstance(address, str) or not address.strip():
            self.refuse("wrong-type", f"{kind} of {team} is {kind_of(address)}; text was expected", path, "write it in quotes")
        else:
            into[kind] = address


def metaflow_project(dbt_project: Path) -> str:
    """The dbt project's name as Metaflow allows it, read without dbt; the folder's name where there is none."""
    data = read(dbt_project / DBT_PROJECT_FILE).data
    name = data.get("name") if isinstance(data, dict) else None
    text = name if isinstance(name, str) and name.strip() else dbt_project.name
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "dbt_flow"


def dag_files(settings: Settings) -> list[Path]:
    """The YAML files under the DAG folder, sorted; hidden ones and ``_defaults.yaml`` are none. None of them is opened."""
    found = []
    for folder, folders, names in os.walk(settings.dags):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if name.endswith(SUFFIXES) and name[0] != "." and name != DEFAULTS_FILE]
    return sorted(found)


def dag_file(settings: Settings, name: str) -> Path | None:
    """The one file of the DAG ``name``; None when there is none, or more than one, and a closer look must say what is wrong."""
    found = [path for path in dag_files(settings) if dag_name(path) == name]
    return found[0] if len(found) == 1 else None


def dag_names(settings: Settings) -> list[str]:
    """The names of all DAG files, good or bad: for completion."""
    return sorted({dag_name(path) for path in dag_files(settings)})


def _absolute(path: Path) -> Path:
    """Absolute and without ``..``, symbolic links left as they are (a person knows the folder by that name)."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
