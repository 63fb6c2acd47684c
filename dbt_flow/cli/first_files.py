"""Files that ``init`` and ``new`` write: a DAG file, pre-commit's hooks, a workflow. What is there is never written over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dbt_flow.errors import InputError
from dbt_flow.spec.schema import FILE as SCHEMA_FILE
from dbt_flow.spec.schema import schema_text

PRE_COMMIT = ".pre-commit-config.yaml"
WORKFLOW = ".github/workflows/dbt-flow.yml"

_LEFT_BY_RUNS = (".metaflow/", ".*.duckdb.lock", ".*.duckdb.holder")
"""What runs leave beside a project; the state folder keeps itself out of git."""

_HOOKS = """\
  - repo: local
    hooks:
      - id: dbt-flow-validate
        name: dbt-flow validate
        entry: dbt-flow {root}validate
        language: system
        files: '{dags}'
        pass_filenames: false
      - id: dbt-flow-lint
        name: dbt-flow lint
        entry: dbt-flow {root}lint
        language: system
        files: '\\.(ya?ml|sql|csv)$'
        pass_filenames: false
"""
_CHECKS = """\
# What a pull request changes in the DAGs is checked, and told.
name: dbt-flow
on: pull_request
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0  # plan --base looks at the branch that is merged into
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install {packages}
{deps}      - run: dbt-flow {root}validate
      - run: dbt-flow {root}lint
      - run: dbt-flow {root}plan --base "origin/$GITHUB_BASE_REF" --markdown >> "$GITHUB_STEP_SUMMARY"
"""


def dag_text(keys: Mapping[str, Any], schema: str = SCHEMA_FILE) -> str:
    """A DAG file: the line for editors, then the keys that have a value, each on a line."""
    lines = [f"# yaml-language-server: $schema={schema}"]
    for key, value in keys.items():
        if value not in (None, "", (), [], {}):
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
            lines.append(f"{key}: {text.removesuffix('...' + chr(10)).strip()}")
    return "\n".join(lines) + "\n"


def write_new(path: Path, text: str) -> bool:
    """Write a file that is not there; says whether it wrote.

    :raises InputError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        hint = "make the folder writable, or work in another one"
        raise InputError("unreadable", f"cannot write {path}: {error.strerror}", hint=hint) from None
    return True


def write_schema(dags: Path) -> bool:
    """The JSON schema beside the DAG files, where it is missing or of an older version; says whether it wrote."""
    path, text = dags / SCHEMA_FILE, schema_text()
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.unlink(missing_ok=True)  # it is ours, and only ever generated
    return write_new(path, text)


def pre_commit(root: Path, dags: Path) -> tuple[Path, str]:
    """Write the hooks, or add them to those that are there; gives the file, and what was done in a word.

    :raises InputError: the file that is there has no list of repos to add to.
    """
    top = git_top(root)
    file, below = top / PRE_COMMIT, _below(dags, top)
    # validate reads these alone: the DAG files and the settings
    settings = (Path(_below(root, top)) / "dbt_flow.yml").as_posix()
    hooks = _HOOKS.format(root=_root_flag(root, top), dags=f"^({below}/|{settings.replace('.', chr(92) + '.')}$)")
    if write_new(file, f"repos:\n{hooks}"):
        return file, "wrote"
    before = file.read_text(encoding="utf-8")
    if "dbt-flow" in before:
        return file, "kept"
    after = _inserted(before, hooks)
    if after is None:
        hint = f"add to its repos:\n{hooks}"
        raise InputError("bad-value", f"{file.name} has no list of repos that could be added to", hint=hint)
    file.write_text(after, encoding="utf-8")
    return file, "added the hooks to"


def workflow(root: Path, packages: str, *, deps: str = "") -> tuple[Path, bool]:
    """Write the workflow for pull requests where there is none of its name; gives the file, and whether it wrote."""
    top = git_top(root)
    file = top / WORKFLOW
    step = f"      - run: dbt deps --project-dir {deps}\n" if deps else ""
    return file, write_new(file, _CHECKS.format(packages=packages, deps=step, root=_root_flag(root, top)))


def git_top(folder: Path) -> Path:
    """The top of the git repository that ``folder`` is in; the folder itself outside of any."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)


def shown(path: Path, base: Path | None = None) -> str:
    """As a person would type it, here or from ``base``."""
    try:
        return path.relative_to(base or Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def _below(path: Path, top: Path) -> str:
    return Path(os.path.relpath(path, top)).as_posix()


def _root_flag(root: Path, top: Path) -> str:
    return "" if root == top else f"--root {_below(root, top)} "


def _inserted(before: str, hooks: str) -> str | None:
    """``before`` with the hooks as the first of its repos, all else to the letter; None where that cannot be."""
    lines = before.splitlines(keepends=True)
    at = next((index for index, line in enumerate(lines) if line.rstrip() == "repos:"), None)
    if at is None:
        return None
    first = next((line for line in lines[at + 1 :] if line.lstrip().startswith("- ")), "  - ")
    indent = " " * (len(first) - len(first.lstrip()))
    entry = [f"{indent}{line[2:]}" if line.strip() else line for line in hooks.splitlines(keepends=True)]
    after = "".join([*lines[: at + 1], *entry, *lines[at + 1 :]])
    try:
        old, new = yaml.safe_load(before), yaml.safe_load(after)
        same = new["repos"][1:] == (old["repos"] or []) and {**new, "repos": 0} == {**old, "repos": 0}
    except (yaml.YAMLError, TypeError, KeyError):
        return None
    return after if same else None


def ignore_what_runs_leave(root: Path) -> list[str]:
    """Add to ``.gitignore`` what nobody wants to commit, where git is used; gives what was added."""
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return []
    file = root / ".gitignore"
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        there = {line.strip().strip("/") for line in text.splitlines()}
        missing = [name for name in _LEFT_BY_RUNS if name.strip("/") not in there]
        if missing:
            gap = "" if not text or text.endswith("\n") else "\n"
            file.write_text(text + gap + "".join(f"{name}\n" for name in missing), encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # a courtesy: what cannot be read is left alone
        return []
    return missing
