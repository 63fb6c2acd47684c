"""The code of dbt-flow that a DAG's run can reach: it travels with each DAG, so a change of it is a change of all of them.

What only a person's command line, ``serve`` or a deployment uses is no part of it: another version of dbt-flow in which that
alone changed redeploys nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from dbt_flow.deploy.nouns import digest

PACKAGE = Path(__file__).parents[1]
_START = "flows/dag.py"
_PLUGINS = "metaflow_extensions.dbt_flow"
_COMPILED = (".pyc", ".pyo")


@cache
def own_code() -> str:
    """One digest of it, the same wherever dbt-flow is installed."""
    plugins = find_spec(_PLUGINS)
    folders = [Path(folder) for folder in (plugins.submodule_search_locations or () if plugins else ())]
    named = {file.relative_to(PACKAGE).as_posix(): file for file in reached(PACKAGE)}
    for folder in reversed(folders):  # the first on the path wins
        named |= {f"{_PLUGINS}/{file.relative_to(folder).as_posix()}": file for file in _all_of(folder)}
    return digest([(name, digest(named[name].read_text(encoding="utf-8", errors="replace"))) for name in sorted(named)])


def reached(package: Path) -> set[Path]:
    """The modules that the flow file imports, also late and through others, and the files beside them that are no Python."""
    waiting = [package / _START]
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported(file, package)
    folders = {file.parent for file in found} - {package}
    return found | {file for folder in folders for file in _data_of(folder)}


def _data_of(folder: Path) -> Iterator[Path]:
    """Macros and pages: of the folder, and of folders below it that hold no module."""
    for entry in folder.iterdir():
        if entry.is_dir() and not (entry / "__init__.py").exists():
            yield from _all_of(entry)
        elif entry.is_file() and entry.suffix not in (".py", *_COMPILED):
            yield entry


def _all_of(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and file.suffix not in _COMPILED)


def _imported(file: Path, package: Path) -> Iterator[Path]:
    """The modules of ours that a module names in an import, wherever it stands, with the packages that they are in."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == package.name:
                yield from _files(package, parts[1:])


def _files(package: Path, parts: list[str]) -> Iterator[Path]:
    yield package / "__init__.py"
    for number in range(1, len(parts) + 1):
        place = package.joinpath(*parts[:number])
        if (place / "__init__.py").is_file():
            yield place / "__init__.py"
        elif place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")
