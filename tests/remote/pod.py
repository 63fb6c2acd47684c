"""A pod without a cluster: the container that ``argo-workflows create`` describes, run as a process of its own.

It gets the template's own command and variables, an empty home, a folder with nothing in it, a Python without the checkout (all
installed packages but dbt-flow), and the variables that a pod would get from its cluster. What it runs it downloads from S3.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CREATED = "2026-11-01T06:00:00Z"


def python_without_the_checkout(folder: Path) -> tuple[Path, Path]:
    """A folder with a ``python``, and one with every installed package but dbt-flow and what makes it editable."""
    programs, packages = folder / "bin", folder / "site"
    programs.mkdir(parents=True)
    packages.mkdir()
    base = Path(sys._base_executable).resolve() if hasattr(sys, "_base_executable") else Path(sys.executable).resolve()
    for name in ("python", "python3"):
        (programs / name).symlink_to(base)
    for entry in (Path(sys.prefix) / "lib").glob("python*/site-packages/*"):
        if "dbt_flow" not in entry.name and not entry.name.endswith(".pth"):
            (packages / entry.name).symlink_to(entry)
    return programs, packages


@dataclass(frozen=True)
class Ended:
    """What became of a container."""

    code: int
    said: str
    folder: Path
    """Where the package was unpacked."""


@dataclass(frozen=True)
class Cluster:
    """Runs the containers of one WorkflowTemplate."""

    template: Mapping[str, Any]
    folder: Path
    programs: Path
    packages: Path
    variables: Mapping[str, str]
    """What every pod gets: credentials, the address of S3."""

    def run(self, step: str, workflow: str, inputs: str = "") -> Ended:
        """The container of a step, as Argo would start it in the workflow ``workflow``."""
        container = next(t for t in self.template["spec"]["templates"] if t["name"] == step)["container"]
        home = self.folder / f"pod-{workflow}-{step}"
        (home / "home").mkdir(parents=True)
        command = container["command"][2]
        told = {
            "{{workflow.name}}": workflow,
            "{{workflow.creationTimestamp}}": CREATED,
            "{{inputs.parameters.input-paths}}": inputs,
            "/tmp/mf-input-paths": str(home / "input-paths"),
            # It tells Argo the task's id by a file at the container's root.
            "--with=argo_workflows_internal:auto-emit-argo-events=1": "",
        }
        # What has no value in the template is of the pod's own: its name, its node.
        given = {entry["name"]: str(entry.get("value") or f"this-{step}") for entry in container["env"]}
        for word, value in told.items():
            command = command.replace(word, value)
            given = {name: text.replace(word, value) for name, text in given.items()}
        env = {
            **given,
            **self.variables,
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(self.packages),
            "HOME": str(home / "home"),
            "METAFLOW_SKIP_INSTALL_DEPENDENCIES": "1",
            "TMPDIR": str(home),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=home,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return Ended(done.returncode, done.stdout, home / "metaflow")


def where_is(module: str, ended: Ended, packages: Path) -> str:
    """The file from which a container imports a module."""
    env = {"PYTHONPATH": f"{ended.folder / '.mf_code'}:{packages}", "PATH": os.defpath}
    program = [str(packages.parent / "bin" / "python"), "-c", f"import {module}; print({module}.__file__)"]
    return subprocess.run(program, cwd=ended.folder, env=env, capture_output=True, text=True, check=True).stdout.strip()
