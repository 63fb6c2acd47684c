"""Which dbt project, as a value; and the one way in which a process enters its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DbtProject:
    """A dbt project, with what the DAG fixes of its surroundings."""

    folder: Path
    """The folder with ``dbt_project.yml``."""
    profiles_dir: Path | None = None
    """None: where dbt looks itself, the project's folder and then ``~/.dbt``, or ``DBT_PROFILES_DIR``."""
    target: str | None = None
    """None: the profile's default."""
    vars: Mapping[str, Any] = field(default_factory=dict)
    """Fixed vars; a run's parameters come on top of them, at run time only."""
    threads: int | None = None
    """None: the profile's."""


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in ``folder``, as dbt must: relative paths in profiles and seeds follow the process. Restores the old folder."""
    try:
        before: str | None = os.getcwd()  # noqa: PTH109 - fails when the folder is gone, which is fine here
    except FileNotFoundError:
        before = None
    os.chdir(folder)
    try:
        yield
    finally:
        if before is not None:
            os.chdir(before)
