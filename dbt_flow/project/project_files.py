"""Which files of a dbt project dbt reads: what its ``dbt_project.yml`` names, and nothing else of the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dbt_flow.project.parse_cache import project_paths, project_settings

_TOP = (
    "dbt_project.yml",
    "packages.yml",
    "dependencies.yml",
    "package-lock.yml",
    "selectors.yml",
    "vars.yml",
)
_FOLDERS = {
    "model-paths": "models",
    "seed-paths": "seeds",
    "test-paths": "tests",
    "analysis-paths": "analyses",
    "macro-paths": "macros",
    "snapshot-paths": "snapshots",
    "function-paths": "functions",
    "docs-paths": None,
}
_NEVER_IN = frozenset({"target", "logs", ".git", ".venv", "venv", "__pycache__", "node_modules", ".dbt_flow", ".metaflow"})
_NEVER = (".duckdb", ".wal", ".db", ".sqlite", ".pem", ".key", ".p8", ".p12", ".pfx", ".env", ".log", ".pyc", ".lock")


def project_files(folder: Path) -> Iterator[Path]:
    """Each file once, sorted. Databases, logs, keys and ``.env`` files are left where they are, wherever they lie."""
    settings = project_settings(folder)
    packages = settings.get("packages-install-path")
    roots = [folder / name for key, default in _FOLDERS.items() for name in project_paths(settings, key, default)]
    roots.append(folder / (packages if isinstance(packages, str) else "dbt_packages"))
    found = {folder / name for name in _TOP if (folder / name).is_file()}
    for root in roots:
        for inside, folders, names in os.walk(root):
            nested = root.name == (packages or "dbt_packages")
            folders[:] = [name for name in folders if name not in _NEVER_IN and (nested or not name.startswith("."))]
            found.update(Path(inside, name) for name in names if name[0] != "." and not name.lower().endswith(_NEVER))
    return iter(sorted(file for file in found if file.is_relative_to(folder)))
