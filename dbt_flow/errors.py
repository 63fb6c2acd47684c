"""Every way in which dbt-flow says no, as one tree.

::

    DbtFlowError            exit 2   something in the input, the project or the surroundings must be mended
      InputError            exit 2   a YAML file, a flag or a name is wrong; has a place where there is one
      ProjectError          exit 2   dbt refuses the project, the profile, the selection or the warehouse
      StateError            exit 2   the state folder cannot be read or written (a newer version, a full disk)
      RunFailed             exit 1   the run took place and is not good
      RunCancelled          exit 130 somebody, or a deadline of the caller, stopped it
    Refusals                exit 2   several of the above, reported together

An error carries a ``code`` (a word from :data:`CODES`, stable, for machines), a ``place`` and a ``hint``: what to type next.
Errors survive pickling, because they cross processes. Anything else that is raised is a bug (exit 3): the CLI writes its
traceback to a log file and names the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CODES: Mapping[str, str] = {
    # the YAML files
    "yaml-syntax": "the file is not YAML",
    "duplicate-key": "a key is written twice in one mapping",
    "unknown-key": "a key that dbt-flow does not know",
    "missing-key": "a key that must be there is not",
    "wrong-type": "a value of the wrong type",
    "bad-value": "a value of the right type that makes no sense",
    "bad-name": "a DAG's name or file name that cannot be used",
    "bad-cron": "a cron expression that cannot be read",
    "bad-timezone": "a time zone that nobody knows",
    "clock-change": "a daylight-saving change skips or doubles a start (a warning)",
    "bad-duration": "a duration that cannot be read",
    "unknown-owner": "an owner that is not in dbt_flow.yml",
    "unknown-dag": "a DAG that does not exist",
    "waits-for-itself": "a DAG that waits for itself, directly or in a circle",
    "name-collision": "two DAGs whose Metaflow flows would bear one name",
    "not-yet": "a key that is understood but has no effect yet",
    "untold": "something that nobody would be told (a warning)",
    "unreadable": "a file that cannot be read",
    # the command line and the surroundings
    "usage": "a command line that cannot be understood",
    "no-project": "no dbt project or dbt_flow.yml in this folder or above it",
    "missing-extra": "a feature whose optional dependency is not installed",
    "unknown-run": "a run that is not in the state folder",
    "unknown-revision": "a revision that git does not know, or a folder without git",
    # what starts by itself
    "event-malformed": "an event that is not in the form that Metaflow sends",
    "event-too-large": "an event that is larger than an environment variable may be",
    "event-reserved": "an event with the name of a run's end, which nobody may send",
    "event-refused": "a sender who may not send, or a request that is not meant for this address",
    "not-accepting": "events are not taken in just now: too many at once, or the runtime is ending",
    "flow-import": "an ML flow's file that cannot be imported",
    "never-fires": "a trigger that waits for what nobody here can send",
    "not-on-scheduler": "a trigger that the scheduler cannot express",
    "needs-not-met": "a flow may not read its tables: they are not as good as it asks",
    "table-changed": "a table that was built anew, or changed, while a flow read it",
    "receipt-damaged": "a receipt that is not what was written",
    "server-running": "another runtime works on the same state folder",
    # what dbt says
    "dbt-project": "dbt cannot load the project",
    "dbt-parse": "dbt cannot parse the project",
    "dbt-profile": "no usable profile or target",
    "dbt-adapter": "the adapter for the profile's type is not installed",
    "dbt-packages": "the project's packages are not installed",
    "dbt-selector": "dbt refuses the selection",
    "selects-nothing": "the selection is empty",
    "parameter-at-parse": "a run parameter is used where dbt reads it while parsing",
    "not-by-time": "days are asked for, and nothing in the DAG tells one from another",
    "missing-upstream": "tables that other DAGs build are missing on this target",
    "warehouse": "the warehouse cannot be reached",
    "not-remote": "something that a task on another machine could not use",
    "secret-in-file": "a secret that stands in a file which would travel",
    "other-versions": "a task's machine has other versions than the one that launched it",
    "database-locked": "another process holds the DuckDB file",
    # deploying
    "not-deployable": "something is missing without which nothing can be deployed there",
    "breaks-contract": "an input of a deployed flow is changed so that who starts it would be refused",
    "plan-stale": "the world has moved since a saved plan was made",
    "deploy-locked": "somebody else is applying just now",
    "deploy-unreachable": "the scheduler cannot be reached",
    "deploy-forbidden": "the scheduler does not let you",
    "deploy-failed": "a flow could not be deployed",
    # what is remembered
    "state-version": "a document written by a newer dbt-flow",
    "state-damaged": "a document that cannot be read",
    "state-unreachable": "the bucket that holds the state does not answer, or refuses",
    "backfill-running": "the same backfill goes on in another process",
    "disk-full": "no space left, or no permission to write",
    # runs
    "run-failed": "the run is not good",
    "run-cancelled": "the run was stopped",
    "timeout": "the run took longer than its timeout",
    "stale-sources": "sources that the DAG requires to be fresh are not",
    "launcher-gone": "the process that started the task is gone",
}
"""Every code with what it means; ``docs/errors.md`` prints this table and a test holds the two together."""


@dataclass(frozen=True)
class Place:
    """Where in a file: line and column count from 1; both are None when only the file is known."""

    file: str
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None
    """The line itself, as it stands in the file."""

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


class DbtFlowError(Exception):
    """The root: one message for a person, with what a machine needs beside it."""

    exit_code = 2

    def __init__(self, code: str, message: str, *, place: Place | None = None, hint: str | None = None) -> None:
        """:param code: a word of :data:`CODES`; anything else is a bug and raises KeyError."""
        CODES[code]
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.code, self.message, self.place, self.hint))

    def to_dict(self) -> dict[str, Any]:
        """The form that ``--json`` prints: file, line, column, code, message, hint."""
        place = self.place
        return {
            "file": place.file if place else None,
            "line": place.line if place else None,
            "column": place.column if place else None,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
        }

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.message}" if self.place else self.message]
        if self.place and self.place.excerpt and self.place.column:
            lines += [f"  | {self.place.excerpt}", "  | " + " " * (self.place.column - 1) + "^"]
        if self.hint:
            lines.append(f"  -> {self.hint}")
        return "\n".join(lines)


def _rebuild(cls: type[DbtFlowError], code: str, message: str, place: Place | None, hint: str | None) -> DbtFlowError:
    return cls(code, message, place=place, hint=hint)


class InputError(DbtFlowError):
    """A YAML file, a flag or a name is wrong."""


class ProjectError(DbtFlowError):
    """dbt refuses the project, the profile, the selection or the warehouse."""


class StateError(DbtFlowError):
    """The state folder cannot be read or written."""


class RunFailed(DbtFlowError):
    """The run took place and is not good."""

    exit_code = 1


class RunCancelled(DbtFlowError):
    """The run was stopped before its end."""

    exit_code = 130


class Refusals(DbtFlowError):
    """Several errors, reported together; the exit code is the highest of theirs."""

    def __init__(self, errors: Iterable[DbtFlowError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.code, "\n".join(str(error) for error in self.errors))
        self.exit_code = max(error.exit_code for error in self.errors)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Refusals, (self.errors,))

    def __str__(self) -> str:
        return self.message


def flatten(error: DbtFlowError) -> tuple[DbtFlowError, ...]:
    """The single errors in ``error``: itself, or those a :class:`Refusals` holds."""
    return error.errors if isinstance(error, Refusals) else (error,)
