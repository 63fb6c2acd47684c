"""What a task on another machine needs, gathered where it is launched or deployed: :func:`gather`.

It travels in Metaflow's code package under ``carried/``, beside the flow file:

- ``carried/files/``: ``dbt_flow.yml``, the DAG files, and what dbt reads of the dbt project (``carried/project/`` for one
  outside): no target, logs, database, key file or ``.env``;
- ``carried/profiles/profiles.yml``: the profile and target that are used, and no other;
- ``carried/parsed.msgpack``: dbt's parse, sealed (:mod:`dbt_flow.project.sealing`): no value of a variable is in it;
- ``carried/carried.json``: versions, packages that the image must have, and where everything was.

Everything that a task elsewhere could not use is refused here, before anything is packaged, and so is every secret that would
travel.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import yaml

from dbt_flow import redact
from dbt_flow.errors import DbtFlowError, InputError, ProjectError, Refusals
from dbt_flow.pipeline.arriving import CARRIED, FACTS, PARSED, python_version
from dbt_flow.pipeline.job import Job
from dbt_flow.pipeline.prepare import Phase, prepare, target_folder
from dbt_flow.project.parse_cache import ParseCache, carried_parse, dbt_versions
from dbt_flow.project.project_files import project_files
from dbt_flow.settings import DBT_PROJECT_FILE, SETTINGS_FILE, SUFFIXES
from dbt_flow.state.store import FolderStore
from dbt_flow.yamlfile import Document, read

_PACKAGES_KEPT = 86_400.0  # seconds after which what was gathered for a package is removed
_SECRET_FROM = 8  # characters


def gather(job: Job, phase: Phase) -> Path:
    """Ask dbt for the project, refuse what cannot travel, and gather the rest; gives the folder that holds ``carried/``.

    :raises DbtFlowError: all that is wrong, at once.
    """
    profiles = profiles_file(job)
    found = [*state_refusals(job), *profile_refusals(job, profiles)]
    if found:
        raise found[0] if len(found) == 1 else Refusals(found)
    with target_folder(job) as target:
        prepared = prepare(job, target, phase)
        name = str(prepared.parsed.config.profile_name)
        used = prepared.parsed.target.name
        parsed = carried_parse(ParseCache(job.state / "parse", job.project(), target))
    phase("gathering what travels")
    folder = _fresh_folder(job)
    into = folder / CARRIED
    inside = job.dbt_project.is_relative_to(job.root)
    project = Path("files", job.dbt_project.relative_to(job.root)) if inside else Path("project")
    _copy_root(job, into / "files")
    for file in project_files(job.dbt_project):
        _copy(file, into / project / file.relative_to(job.dbt_project))
    _write(into / "profiles" / "profiles.yml", _one_profile(profiles, name, used))
    if parsed is not None:
        _write(into / PARSED, parsed)
    adapter = f"dbt-{prepared.parsed.target.adapter}"
    versions = {name: number for name, number in dbt_versions().items() if name in ("dbt-core", adapter)}
    facts = {
        "versions": {"python": python_version(), **versions},
        "packages": _needed(),
        "moved_from": str(job.dbt_project.absolute()),
        "project": project.as_posix(),
    }
    _write(into / FACTS, json.dumps(facts, indent=1).encode())
    secrets = _secrets_in(into)
    if secrets:
        raise secrets[0] if len(secrets) == 1 else Refusals(secrets)
    return folder


def travelling(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files that were gathered, each with its name in the package."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield file, file.relative_to(folder).as_posix()


def _needed() -> list[str]:
    """What dbt-flow imports that does not travel (Metaflow does) and that no version is asked of: names of distributions."""
    try:
        said = requires("dbt-flow") or []
    except PackageNotFoundError:  # it is on the path, and was never installed
        return []
    names = [re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in said if "extra ==" not in one]
    return sorted(name for name in names if not name.startswith(("dbt-", "metaflow", "tzdata")))


# ---- refusals


def state_refusals(job: Job) -> list[DbtFlowError]:
    """State in a folder is out of a task's reach, and so is any other folder."""
    found: list[DbtFlowError] = []
    if job.options.compare_to:
        message = f"--compare-to names a folder of this machine ({job.options.compare_to})"
        found.append(InputError("not-remote", message, hint="leave it out: `state:` then compares with the last good run"))
    if job.bucket:
        return found
    message = f"the state is a folder of this machine ({job.state}): a task on another one cannot record there"
    hint = "write state: s3://BUCKET/PREFIX in dbt_flow.yml, or --state s3://BUCKET/PREFIX"
    return [*found, InputError("not-remote", message, hint=hint)]


def profiles_file(job: Job) -> Path:
    """The ``profiles.yml`` that dbt takes.

    :raises ProjectError: ``dbt-profile`` when there is none.
    """
    said = job.profiles_dir or (Path(os.environ["DBT_PROFILES_DIR"]) if os.environ.get("DBT_PROFILES_DIR") else None)
    folders = [said] if said else [job.dbt_project, Path.home() / ".dbt"]
    for folder in folders:
        if (folder / "profiles.yml").is_file():
            return folder / "profiles.yml"
    where = " or ".join(map(str, folders))
    raise ProjectError("dbt-profile", f"no profiles.yml in {where}", hint="name its folder: --profiles-dir DIR")


def profile_refusals(job: Job, file: Path) -> list[DbtFlowError]:
    """Secrets that stand in the profile itself, and a database that is a file of this machine, each with its place."""
    document = read(file, name=_shown(job, file))
    if document.errors:
        return list(document.errors)
    project = read(job.dbt_project / DBT_PROJECT_FILE).data
    name = project.get("profile") if isinstance(project, dict) else None
    found: list[DbtFlowError] = []
    for profile, says in (document.data or {}).items():
        outputs = says.get("outputs") if isinstance(says, dict) else None
        if not isinstance(outputs, dict) or (isinstance(name, str) and "{{" not in name and profile != name):
            continue
        target = job.target or says.get("target") or "default"
        for output, fields in outputs.items():
            if isinstance(fields, dict) and (output == target or target not in outputs):
                found += _in_output(document, (profile, "outputs", output), fields)
    return found


def _in_output(document: Document, path: tuple[str, ...], fields: dict[str, Any]) -> Iterator[DbtFlowError]:
    for key, value in fields.items():
        if isinstance(value, dict):
            yield from _in_output(document, (*path, str(key)), value)
        elif isinstance(value, (str, int, float)) and redact.secret_field(str(key)) and "{{" not in str(value):
            variable = f"DBT_ENV_SECRET_{str(key).upper()}"
            # No excerpt: the line holds the secret.
            place = document.place((*path, str(key)), key=True)
            write = f"write {key}: \"{{{{ env_var('{variable}') }}}}\""
            yield InputError(
                "secret-in-file",
                f"{key} of the target {path[2]} stands in the profile in clear, and would travel with the run",
                place=type(place)(place.file, place.line, place.column),
                hint=f"{write}, and name the secret that sets {variable} under remote.secrets in {SETTINGS_FILE}",
            )
    path_said = fields.get("path")
    if fields.get("type") == "duckdb" and isinstance(path_said, str) and not _reachable(path_said):
        yield InputError(
            "not-remote",
            f"the target {path[2]} is a DuckDB file in the project's folder, which each task elsewhere has of its own",
            place=document.place((*path, "path")),
            hint="name another target, or write a path on a disk that every task mounts",
        )


def _reachable(path: str) -> bool:
    return "{{" in path or "://" in path or path.startswith(("/", "md:", "motherduck:", "ducklake:", "quack:"))


def _secrets_in(folder: Path) -> list[DbtFlowError]:
    """Files that hold the value of a secret variable of this environment."""
    # A password that is an ordinary word ("postgres") stands in many files, and is no secret there.
    values = [value.encode() for value in redact.secrets() if len(value) >= _SECRET_FROM and not value.isalpha()]
    found: list[DbtFlowError] = []
    for file, name in travelling(folder):
        raw = file.read_bytes()
        if any(value in raw for value in values):
            message = f"{name.partition('/')[2]} holds the value of a secret variable, and would travel with the run"
            hint = "read it where it is used: {{ env_var('DBT_ENV_SECRET_...') }}"
            found.append(InputError("secret-in-file", message, hint=hint))
    return found


# ---- files


def _one_profile(file: Path, name: str, target: str) -> bytes:
    """The profile and the target that are used; the rest of the file is none of the run's business."""
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    said = data[name]
    outputs = said["outputs"]
    kept = {target: outputs[target]} if target in outputs else outputs
    text = yaml.safe_dump({name: {"target": target, "outputs": kept}}, sort_keys=False, allow_unicode=True)
    return text.encode()


def _copy_root(job: Job, into: Path) -> None:
    """The settings, and the DAG files."""
    settings = job.root / SETTINGS_FILE
    if settings.is_file():
        _copy(settings, into / SETTINGS_FILE)
    place = Path(job.dag.place().file)
    dags = (place if place.is_absolute() else job.root / place).parent
    for file in dags.rglob("*"):
        parts = file.relative_to(dags).parts
        if file.suffix in SUFFIXES and file.is_file() and not any(part.startswith(".") for part in parts):
            _copy(file, into / (file.relative_to(job.root) if file.is_relative_to(job.root) else Path("dags", *parts)))


def _fresh_folder(job: Job) -> Path:
    """A folder for one package; Metaflow reads it while the launcher goes on, so the next launch removes it."""
    local = FolderStore(job.state)
    for name in local.older("packages", _PACKAGES_KEPT):
        local.drop(f"packages/{name}")
    folder = local.path(f"packages/{os.getpid()}/{CARRIED}/.keep").parent.parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


def _write(file: Path, value: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(value)


def _shown(job: Job, file: Path) -> str:
    try:
        return file.relative_to(job.root).as_posix()
    except ValueError:
        return str(file)
