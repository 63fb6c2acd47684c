"""A pod without a cluster: the container that ``argo-workflows create`` describes, run as a process of its own.

It gets the template's own command and variables, an empty home, a folder with nothing in it, a Python without the checkout (all
installed packages but dbt-flow), and the variables that a pod would get from its cluster. What it runs it downloads from S3.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
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
class Container:
    """A pod that runs."""

    process: subprocess.Popen[bytes]
    log: Path
    folder: Path

    def end(self, within: float = 300.0) -> Ended:
        """Wait for it; one that does not end is killed, and the test fails."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"not ended after {within} s:\n{self.log.read_text(errors='replace')}") from None
        return Ended(code, self.log.read_text(errors="replace"), self.folder)

    def kill(self) -> None:
        """Everything in it dies at once and without a word, as when its node is lost or its memory ends."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


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
        """The container of a step, as Argo would start it in the workflow ``workflow``, to its end."""
        return self.start(step, workflow, inputs).end()

    def start(self, step: str, workflow: str, inputs: str = "") -> Container:
        """The same, without waiting for it."""
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
        for entry in self.template["spec"].get("arguments", {}).get("parameters", ()):  # as Argo encodes them
            said = base64.b64encode(str(entry["value"]).encode()).decode()
            told[f"{{{{=toBase64(workflow.parameters['{entry['name']}'])}}}}"] = said
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
        log = home / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=home,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Container(process, log, home / "metaflow")


def where_is(module: str, ended: Ended, packages: Path) -> str:
    """The file from which a container imports a module."""
    env = {"PYTHONPATH": f"{ended.folder / '.mf_code'}:{packages}", "PATH": os.defpath}
    program = [str(packages.parent / "bin" / "python"), "-c", f"import {module}; print({module}.__file__)"]
    return subprocess.run(program, cwd=ended.folder, env=env, capture_output=True, text=True, check=True).stdout.strip()
