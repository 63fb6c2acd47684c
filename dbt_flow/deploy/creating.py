"""Metaflow's own ``create``, as a process: the one way in which a flow reaches Argo Workflows or Step Functions."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbt_flow.deploy.nouns import Space, Wanted
from dbt_flow.errors import Place, RunFailed
from dbt_flow.launch import command_line, environment
from dbt_flow.settings import Settings
from dbt_flow.spec.schedulers import DEPLOYS

PATIENCE = 600.0
"""Seconds that one creation may take: the code package is uploaded in it."""

_NOISE = re.compile(r"^(Metaflow \S+ executing|Project: |Validating your flow|\s*The graph looks good|Deploying )")
_TIED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "  # PR_SET_PDEATHSIG, SIGKILL: kept by what it becomes
    "os.getppid() == int(sys.argv[1]) or os._exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)
"""A Metaflow that went on after its apply was killed would replace what the next one has made."""
_ENDS_WITHIN = 5.0
_LINES = 12  # of a refusal


def create(settings: Settings, wanted: Wanted, space: Space, command: str, words: Sequence[str] = ()) -> str:
    """Run ``argo-workflows create`` or ``step-functions create`` of a flow; gives its name on the scheduler.

    :param words: further arguments of ``create``.
    :raises RunFailed: ``deploy-failed``, with Metaflow's own last words.
    """
    tags = [word for tag in wanted.tags for word in ("--tag", tag)]
    with tempfile.TemporaryDirectory(prefix="dbt-flow-deploy-") as folder:
        told = Path(folder) / "deployed.json"
        arguments = [command, "create", *tags, *words, "--deployer-attribute-file", str(told)]
        if wanted.kind == "dag":
            line, variables = command_line(wanted.path, arguments), {**space.variables, DEPLOYS: "1"}
        else:
            options = space.options if wanted.in_project else []
            line, variables = [sys.executable, str(wanted.path), "--no-pylint", *options, *arguments], {}
        code, said = _run(line, settings, variables, Path(folder) / "words")
        if code == 0 and told.is_file():
            return str(json.loads(told.read_text(encoding="utf-8"))["name"])
    raise _failed(wanted, code, said)


def _run(line: Sequence[str], settings: Settings, variables: Mapping[str, str], log: Path) -> tuple[int, list[str]]:
    """The process in a group of its own; whoever interrupts us interrupts it, and it does not outlive us."""
    if sys.platform == "linux":
        line = [sys.executable, "-S", "-c", _TIED, str(os.getpid()), *line]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            line,
            cwd=settings.root,
            env=environment(settings, variables),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = -int(signal.SIGKILL)
        finally:
            if process.poll() is None:
                _end(process)
    said = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return code, [text.rstrip() for text in said if text.strip() and not _NOISE.match(text)]


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_ENDS_WITHIN)
            return
        except ProcessLookupError:
            process.wait()
            return
        except subprocess.TimeoutExpired:
            continue


def _failed(wanted: Wanted, code: int, said: Sequence[str]) -> RunFailed:
    place = Place(wanted.place.file)
    if code == 2 and wanted.kind == "dag" and said:  # our own refusal, with its place and hint
        return RunFailed("deploy-failed", "\n".join([f"{wanted.name} could not be deployed:", *said[-_LINES:]]), place=place)
    text = "; ".join(line.strip() for line in said[-3:])[:600] or (
        f"no answer within {PATIENCE:g} s" if code < 0 else f"exit {code}"
    )
    hint = "mend it and apply again: what is done already is not done twice"
    if "production token" in text:
        hint = (
            "somebody else deployed this flow with Metaflow: get the token from them, deploy it once by hand with --authorize"
        )
    return RunFailed("deploy-failed", f"{wanted.name} could not be deployed: {text}", place=place, hint=hint)
