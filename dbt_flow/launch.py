"""Start, watch and stop a Metaflow run as a process of its own; nothing of dbt or Metaflow is loaded here.

The launched process leads a process group of its own, so that a signal reaches Metaflow and its tasks and nothing else. What it
prints goes to a log file; what its task tells (:class:`dbt_flow.run.recorder.Feed`) is read line by line as it comes.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbt_flow.errors import InputError, Place, StateError
from dbt_flow.settings import Settings
from dbt_flow.state.leftovers import left_behind, maker
from dbt_flow.state.places import shown, store_of
from dbt_flow.state.store import FolderStore

FLOW_FILE = Path(__file__).parent / "flows" / "dag.py"

READER = Path(__file__).parent / "serve" / "read_flow.py"
PATIENCE = 60.0
"""Seconds that a flow file may take to say what it listens to."""

_LOOK_EVERY = 0.05  # seconds between looks at the feed
_GONE_WITHIN = 5.0  # seconds for the system to take away what was killed
_STOP_WITHIN = 8.0  # seconds from asking a run to stop until it is killed


@dataclass(frozen=True)
class Launch:
    """What to start."""

    dag_file: Path
    command: tuple[str, ...]
    """Metaflow's command with its arguments: ``run``, or ``resume --origin-run-id 12``."""
    settings: Settings
    variables: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables for the flow."""


def command_line(dag_file: Path, command: Sequence[str]) -> list[str]:
    """Metaflow's command line for a DAG."""
    options = ["--quiet", "--no-pylint"] if command and command[0] in ("run", "resume") else ["--no-pylint"]
    return [sys.executable, str(FLOW_FILE), *options, "--config", "dag", str(dag_file), *command]


def environment(settings: Settings, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a flow's process: this one's, with what the command line said."""
    found = dict(os.environ)
    found["DBT_FLOW_ROOT"] = str(settings.root)
    found["DBT_FLOW_STATE"] = settings.bucket or str(settings.state)
    if settings.profiles_dir:
        found["DBT_FLOW_PROFILES_DIR"] = str(settings.profiles_dir)
    if settings.file is None:
        found["DBT_FLOW_PROJECT_DIR"] = str(settings.dbt_project)
    # Metaflow takes no user named root, and refuses to run without a name; containers and CI often have nothing else.
    if not any(found.get(name, "root") != "root" for name in ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER")):
        found["METAFLOW_USER"] = _user()
    found.setdefault("PYTHONUNBUFFERED", "1")
    return {**found, **variables}


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry, as in many containers
        name = "root"
    return f"user{os.getuid()}" if name == "root" else name


class Running:
    """A launched run."""

    def __init__(self, launch: Launch) -> None:
        """Start it.

        :raises StateError: the state folder cannot be written.
        """
        folder = FolderStore(launch.settings.state).path("launches/.keep").parent
        for left in folder.iterdir():
            if left_behind(left.name):  # whoever watched it was killed
                forget(left)
        self.folder = Path(tempfile.mkdtemp(dir=folder, prefix=f"{maker()}-"))
        self.log = self.folder / "metaflow.log"
        self._feed = self.folder / "feed.jsonl"
        self._feed.touch(mode=0o600)
        self._offset = 0
        self._stopping: float | None = None
        self.stopped: str | None = None
        """Who or what asked the run to stop, in words; None while nobody has."""
        self.task: str | None = None
        """Metaflow's pathspec of the task, once there is one."""
        self.pids: list[int] = []
        variables = {"DBT_FLOW_FEED": str(self._feed), "DBT_FLOW_PARENT": str(os.getpid()), **launch.variables}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command_line(launch.dag_file, (*launch.command, "--run-id-file", str(self.folder / "run-id"))),
                cwd=launch.settings.root,
                env=environment(launch.settings, variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def events(self) -> Iterator[dict[str, Any]]:
        """What the run tells, until it has ended; an ``{"event": "tick"}`` a few times a second in between.

        A launcher that dies leaves its task a few seconds to record what it knew.
        """
        deadline = None
        while True:
            yield from self._read()
            if self.process.poll() is not None:
                deadline = deadline or time.monotonic() + _STOP_WITHIN
                if not self._task_alive() or time.monotonic() > deadline:
                    break
            self._kill_when_late()
            yield {"event": "tick"}
            time.sleep(_LOOK_EVERY)
        yield from self._read()
        self._end_all()

    def stop(self, number: int = signal.SIGINT) -> None:
        """Ask the run to stop, as Ctrl-C does: its task cancels what runs, records and leaves."""
        if self._stopping is None:
            self._stopping = time.monotonic()
            self.stopped = f"stopped by {signal.Signals(number).name}"
            self._signal(number)

    @property
    def run_id(self) -> str | None:
        """Metaflow's id of the run, once there is one."""
        with suppress(OSError):
            return (self.folder / "run-id").read_text().strip() or None
        return None

    def last_words(self, lines: int = 15) -> str:
        """The end of what Metaflow printed."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _read(self) -> Iterator[dict[str, Any]]:
        with self._feed.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                with suppress(ValueError):
                    event = json.loads(line)
                    if event.get("event") == "attempt":
                        self.pids.append(int(event["pid"]))
                        self.task = event["task"]
                    yield event

    def _task_alive(self) -> bool:
        self.pids = [pid for pid in self.pids if _alive(pid)]  # of a run of several steps some run side by side
        return bool(self.pids)

    def _kill_when_late(self) -> None:
        if self._stopping is not None and time.monotonic() > self._stopping + _STOP_WITHIN:
            self._signal(signal.SIGKILL)

    def _end_all(self) -> None:
        """No process of the run outlives it: what is left in its group is killed."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        until = time.monotonic() + _GONE_WITHIN
        while self._task_alive() and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return True


def keep_log(running: Running, settings: Settings, run_folder: str) -> str:
    """Move Metaflow's log into the run's record and drop the launch's folder; gives where the log is now.

    A state that takes no more (a full disk) leaves it where it was: how the run ended is told all the same.
    """
    try:
        store_of(settings).put(f"{run_folder}/metaflow.log", running.log.read_bytes())
    except StateError:
        return settings.shown(running.log)
    forget(running.folder)
    return shown(settings, f"{run_folder}/metaflow.log")


def forget(folder: Path) -> None:
    """Drop the folder of a launch."""
    shutil.rmtree(folder, ignore_errors=True)


def pass_through(dag_file: Path, settings: Settings, command: Sequence[str]) -> int:
    """Run any Metaflow command of a DAG's flow in the foreground; gives its exit code."""
    process = subprocess.Popen(command_line(dag_file, command), cwd=settings.root, env=environment(settings, {}))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the terminal has sent it to the flow as well, which ends by itself
            continue


def read_flow(file: Path, settings: Settings) -> Mapping[str, Any]:
    """What the flow in a file says of itself.

    :raises InputError: ``flow-import``, with its own last words.
    """
    place = Place(settings.shown(file))
    with tempfile.TemporaryDirectory(prefix="dbt-flow-read-") as folder:
        out, words = Path(folder) / "facts.json", Path(folder) / "words"
        with words.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, str(READER), str(file), str(out)],
                cwd=settings.root,
                env=environment(settings, {"PYTHONDONTWRITEBYTECODE": "1"}),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                message = f"it did not say within {PATIENCE:g} s what it listens to"
                raise InputError("flow-import", message, place=place, hint="do slow work in steps, not at import") from None
            finally:  # also when somebody presses Ctrl-C, which does not reach it: it leads a group of its own
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code == 0 and out.is_file():
            facts: Mapping[str, Any] = json.loads(out.read_text(encoding="utf-8"))
            return facts
        said = [line for line in words.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    last = "; ".join(line.strip() for line in said[-2:])[:500] or f"exit code {code}"
    raise InputError("flow-import", f"it cannot be imported: {last}", place=place, hint=f"try: python {place.file} check")
