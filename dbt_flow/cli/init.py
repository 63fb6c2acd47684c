"""``dbt-flow init``: from a dbt project to a first DAG, without asking anything that can be found out."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from dbt_flow.cli.first_files import dag_text, ignore_what_runs_leave, pre_commit, shown, workflow, write_new, write_schema
from dbt_flow.cli.terminal import Context
from dbt_flow.errors import InputError, ProjectError
from dbt_flow.settings import DBT_PROJECT_FILE, SETTINGS_FILE, find_root, metaflow_project
from dbt_flow.yamlfile import read

_MACRO = Path(__file__).parents[1] / "project" / "macros" / "in_dag.sql"
_COME_ALONG = ("duckdb", "snowflake")
"""Adapters that are installed with dbt-flow."""


@click.command("init", short_help="Make a first DAG for a dbt project.")
@click.option("--project-dir", metavar="DIR", help="The dbt project. [found here, below or above]")
@click.option("--owner", metavar="TEAM", help="The team that owns the first DAG. [your user name]")
@click.option("--duckdb", is_flag=True, help="Where no profiles.yml has the profile: write one, for a DuckDB file.")
@click.option("--deps/--no-deps", default=True, help="Install the project's packages where they are missing. [yes]")
@click.option("--pre-commit", "hooks", is_flag=True, help="Also write pre-commit's hooks, or add them to those that are there.")
@click.option("--ci", is_flag=True, help="Also write a GitHub workflow that checks pull requests.")
@click.option("--macro", is_flag=True, help="Also write macros/in_dag.sql, with which models say their DAG themselves.")
@click.pass_obj
def command(context: Context, /, project_dir: str | None, owner: str | None, **said: bool) -> int:
    """Write dbt_flow.yml and a first DAG for an existing dbt project: a DAG that builds all of it, by hand.

    What is there is kept: the command may be given again, for what is missing. Nothing of the dbt project is changed, but for
    --macro and --duckdb, which add a file each, and the packages that it asks for itself (dbt deps).

    \b
    pip install dbt-flow
    dbt-flow init
    dbt-flow run my_project
    """
    project = _project(project_dir or context.flags.project_dir)
    root = Path(context.flags.root) if context.flags.root else _root(project)
    profile = _profile(project, context.flags.profiles_dir)
    name = _first_dag(root, project)
    _settings_and_dag(root, project, name, owner)
    if said["macro"]:
        _wrote(project / _macro_folder(project) / "in_dag.sql", _MACRO.read_text(encoding="utf-8"))
    if said["duckdb"] and profile.file is None:
        profile = _duckdb(project, profile.name)
    deps = _wants_packages(project)
    if said["hooks"]:
        file, did = pre_commit(root.absolute(), (root / "dags").absolute())
        click.echo(f"{did} {shown(file)}")
    if said["ci"]:
        folder = (os.path.relpath(project, root) if project != root else ".") if deps else ""
        file, wrote = workflow(root.absolute(), _packages(profile), deps=folder)
        click.echo(f"{'wrote' if wrote else 'kept'} {shown(file)}")
    _told(project, profile)
    if deps and said["deps"] and not _installed(project):
        _install(project, profile)
    if profile.file is None:
        click.echo(f"Next: dbt-flow init --duckdb, or a profile of your own; then dbt-flow run {name}")
    else:
        click.echo(f"Next: dbt-flow run {name}. Further DAGs: dbt-flow new")
    return 0


@dataclass(frozen=True)
class Profile:
    """Where the project's profile is; only keys are read, no secrets."""

    name: str
    targets: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """The adapters' types, of all targets."""
    file: Path | None = None


def _settings_and_dag(root: Path, project: Path, name: str, owner: str | None) -> None:
    _wrote(root / SETTINGS_FILE, _settings(project, root))
    folder = root / "dags"
    if folder.is_dir() and any(folder.rglob("[!_.]*.y*ml")):
        click.echo(f"kept {shown(folder)}: it has DAGs")
    else:
        keys = {"owner": owner or user(), "description": "All that dbt build would build", "select": "*"}
        _wrote(folder / f"{name}.yaml", dag_text(keys) + 'trigger: none  # by hand; or {schedule: "0 6 * * *"}\n')
    if ignored := ignore_what_runs_leave(root):
        click.echo(f"added to {shown(root / '.gitignore')}: {', '.join(ignored)}")
    if write_schema(folder):
        click.echo(f"wrote {shown(folder)}/.schema.json")


def _wrote(path: Path, text: str) -> None:
    click.echo(f"{'wrote' if write_new(path, text) else 'kept'} {shown(path)}")


def _told(project: Path, profile: Profile) -> None:
    click.echo(f"dbt project {shown(project) or '.'}, profile {profile.name}")
    if profile.file is None:
        click.echo(f"  no profiles.yml has the profile {profile.name}; dbt needs one, in the project or in ~/.dbt", err=True)
    else:
        click.echo(f"  found in {shown(profile.file)}, targets: {', '.join(profile.targets) or 'none'}")


# ---- the project


def _project(said: str | None) -> Path:
    """The dbt project: named, or here, or the only one in a folder below, or above.

    :raises ProjectError: there is none, or there are several below.
    """
    start = Path(os.path.abspath(said or "."))  # noqa: PTH100 - resolve() would follow links
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


def _profile(project: Path, profiles_dir: str | None) -> Profile:
    """The profile, by dbt's rules for where to look."""
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
            outputs = outputs if isinstance(outputs, dict) else {}
            kinds = {str(output.get("type")) for output in outputs.values() if isinstance(output, dict) and output.get("type")}
            return Profile(name, tuple(sorted(outputs)), tuple(sorted(kinds)), file)
    return Profile(name)


def _duckdb(project: Path, profile: str) -> Profile:
    """Write a profile for a DuckDB file beside the project's own files.

    :raises InputError: there is a profiles.yml, with other profiles.
    """
    file = project / "profiles.yml"
    output = {"type": "duckdb", "path": f"{metaflow_project(project)}.duckdb", "threads": 4}
    if not write_new(file, yaml.safe_dump({profile: {"target": "dev", "outputs": {"dev": output}}}, sort_keys=False)):
        hint = f"add the profile {profile} to it"
        raise InputError("bad-value", f"{shown(file)} is there, without the profile {profile}", hint=hint)
    click.echo(f"wrote {shown(file)}")
    return Profile(profile, ("dev",), ("duckdb",), file)


def _wants_packages(project: Path) -> bool:
    """Whether the project asks for dbt packages."""
    for name in ("packages.yml", "dependencies.yml"):
        data = read(project / name).data if (project / name).is_file() else None
        if isinstance(data, dict) and data.get("packages"):
            return True
    return False


def _installed(project: Path) -> bool:
    data = read(project / DBT_PROJECT_FILE).data or {}
    folder = project / str(data.get("packages-install-path") or "dbt_packages")
    return folder.is_dir() and any(folder.iterdir())


def _install(project: Path, profile: Profile) -> None:
    """``dbt deps``, in a process of its own; that it fails is told with what to type, and stops nothing."""
    click.echo("installing the project's packages: dbt deps", err=True)
    words = [
        sys.executable,
        "-c",
        "from dbt.cli.main import cli; cli()",
        "--no-use-colors",
        "deps",
        "--project-dir",
        str(project),
    ]
    words += ["--profiles-dir", str(profile.file.parent)] if profile.file else []
    environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    done = subprocess.run(
        words, cwd=project, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, env=environment
    )
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    installed = [line.partition("Installed from ")[2] for line in said if "Installed from " in line]
    if done.returncode == 0:
        click.echo(f"  installed {', '.join(installed) or 'them'}", err=True)
        return
    click.echo(f"  {said[-1] if said else 'dbt said nothing'}", err=True)
    click.echo(f"  they could not be installed; once they can: dbt deps --project-dir {shown(project) or '.'}", err=True)


def _packages(profile: Profile) -> str:
    """What ``pip install`` needs in CI: dbt-flow with the adapters of the profile's targets."""
    extras = ",".join(kind for kind in profile.kinds if kind == "postgres")
    others = [f"dbt-{kind}" for kind in profile.kinds if kind not in _COME_ALONG and kind != "postgres"]
    return " ".join([f"'dbt-flow[{extras}]'" if extras else "dbt-flow", *others])


def _macro_folder(project: Path) -> str:
    data = read(project / DBT_PROJECT_FILE).data or {}
    paths = data.get("macro-paths")
    return str(paths[0]) if isinstance(paths, list) and paths else "macros"


# ---- names and texts


def _first_dag(root: Path, project: Path) -> str:
    """The DAG to run first: the one that is there when there is one, else the project's name."""
    there = sorted(path.stem for path in (root / "dags").rglob("[!_.]*.y*ml"))
    name = re.sub(r"[^a-z0-9]+", "_", metaflow_project(project)).strip("_")
    name = name if name[:1].isalpha() else f"dag_{name}"
    return there[0] if there and name not in there else name


def user() -> str:
    """Who is at the keyboard, as an owner until there are teams."""
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
