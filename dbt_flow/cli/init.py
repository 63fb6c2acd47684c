"""``dbt-flow init``: from a dbt project to a first DAG, without asking anything that can be found out."""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path
from typing import Any

import click

from dbt_flow.cli.terminal import Context
from dbt_flow.errors import InputError, ProjectError
from dbt_flow.settings import DBT_PROJECT_FILE, SETTINGS_FILE, find_root, metaflow_project
from dbt_flow.spec.schema import FILE as SCHEMA_FILE
from dbt_flow.spec.schema import schema_text
from dbt_flow.yamlfile import read

_MACRO = Path(__file__).parents[1] / "project" / "macros" / "in_dag.sql"


@click.command("init", short_help="Make a first DAG for a dbt project.")
@click.option("--project-dir", metavar="DIR", help="The dbt project. [found here, below or above]")
@click.option("--owner", metavar="TEAM", help="The team that owns the first DAG. [your user name]")
@click.option("--macro", is_flag=True, help="Also write macros/in_dag.sql, with which models say their DAG themselves.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.pass_obj
def command(context: Context, project_dir: str | None, owner: str | None, macro: bool, force: bool) -> int:
    """Write dbt_flow.yml and a first DAG for an existing dbt project: a DAG that builds all of it, by hand.

    Nothing of the dbt project is changed, but for --macro, which adds one file to it.
    """
    project = _project(project_dir or context.flags.project_dir)
    root = Path(context.flags.root) if context.flags.root else _root(project)
    profile, targets, found = _profile(project, context.flags.profiles_dir)
    name = _dag_name(project)
    files = {
        root / SETTINGS_FILE: _settings(project, root),
        root / "dags" / f"{name}.yaml": _dag(owner or _user()),
        root / "dags" / SCHEMA_FILE: schema_text(),
    }
    if macro:
        files[project / _macro_folder(project) / "in_dag.sql"] = _MACRO.read_text(encoding="utf-8")
    there = [file for file in files if file.exists() and file.name != SCHEMA_FILE]
    if there and not force:
        shown = ", ".join(_shown(file, root) for file in there)
        raise InputError("bad-value", f"already there: {shown}", hint="keep what you have, or replace it with --force")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        click.echo(f"wrote {_shown(file, Path.cwd())}")
    click.echo(f"dbt project {_shown(project, Path.cwd()) or '.'}, profile {profile}")
    if found is None:
        click.echo(f"  no profiles.yml has the profile {profile}; dbt needs one, in the project or in ~/.dbt", err=True)
    else:
        click.echo(f"  found in {_shown(found, Path.cwd())}, targets: {', '.join(targets) or 'none'}")
    click.echo(f"Next: dbt-flow plan {name}, then dbt-flow run {name}")
    return 0


def _project(said: str | None) -> Path:
    """The dbt project: named, or here, or the only one in a folder below, or above.

    :raises ProjectError: there is none, or there are several below.
    """
    start = Path(said or ".").absolute()
    if (start / DBT_PROJECT_FILE).is_file():
        return start
    below = sorted(file.parent for file in start.glob(f"*/{DBT_PROJECT_FILE}"))
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(folder.name for folder in below)
        raise ProjectError("dbt-project", f"several dbt projects here: {names}", hint="name one: --project-dir DIR")
    if said is None:
        for folder in start.parents:
            if (folder / DBT_PROJECT_FILE).is_file():
                return folder
    hint = "go to a dbt project, name one with --project-dir DIR, or make one with: dbt init"
    raise ProjectError("dbt-project", f"no {DBT_PROJECT_FILE} in {start} or next to it", hint=hint)


def _root(project: Path) -> Path:
    """Where dbt_flow.yml goes: where it is, else where the user stands when the project lies below, else the project."""
    try:
        root = find_root(project)
    except InputError:
        root = project
    if (root / SETTINGS_FILE).is_file():
        return root
    here = Path.cwd()
    return here if project.parent == here else project


def _profile(project: Path, profiles_dir: str | None) -> tuple[str, list[str], Path | None]:
    """The profile's name, its targets and its file, by dbt's rules for where to look; only keys are read, no secrets."""
    data = read(project / DBT_PROJECT_FILE).data
    name = str((data or {}).get("profile") or (data or {}).get("name") or "")
    folders = [profiles_dir, os.environ.get("DBT_PROFILES_DIR"), str(project), str(Path.home() / ".dbt")]
    for folder in folders:
        file = Path(folder) / "profiles.yml" if folder else None
        if file is None or not file.is_file():
            continue
        profiles: Any = read(file).data
        if isinstance(profiles, dict) and isinstance(profiles.get(name), dict):
            outputs = profiles[name].get("outputs")
            return name, sorted(outputs) if isinstance(outputs, dict) else [], file
    return name, [], None


def _macro_folder(project: Path) -> str:
    data = read(project / DBT_PROJECT_FILE).data or {}
    paths = data.get("macro-paths")
    return str(paths[0]) if isinstance(paths, list) and paths else "macros"


def _dag_name(project: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", metaflow_project(project)).strip("_")
    return name if name[:1].isalpha() else f"dag_{name}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "data-team"


def _settings(project: Path, root: Path) -> str:
    return (
        "# dbt-flow's settings. Every key: docs/platform.md\n"
        f"dbt_projects: [{os.path.relpath(project, root)}]\n"
        "dags: dags\n"
        "# owners:            # the teams; while there are none, any owner is good\n"
        "#   data-team: {email: data-team@example.com, slack: '#data'}\n"
    )


def _dag(owner: str) -> str:
    return (
        f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
        f"owner: {owner}\n"
        "description: Everything of this dbt project\n"
        "select: package:this\n"
        '# trigger: {schedule: "0 6 * * *"}\n'
    )


def _shown(path: Path, base: Path) -> str:
    try:
        return path.relative_to(base).as_posix()
    except ValueError:
        return str(path)
