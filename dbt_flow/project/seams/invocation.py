"""dbt's command line, run in this process, and the process-wide things that it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from dbt.cli.flags import Flags, args_to_context
from dbt.cli.main import dbtRunner
from dbt.flags import get_flags, set_flags
from dbt_common.events.event_manager_client import get_event_manager

QUIET = (
    "--quiet",
    "--no-print",
    "--log-level=none",
    "--log-level-file=none",
    "--no-use-colors",
    "--no-use-colors-file",
    "--no-send-anonymous-usage-stats",
)
"""dbt says nothing by itself: what it has to say reaches us as events and exceptions."""

REPEATED = frozenset({"MainEncounteredError", "MainStackTrace"})
"""Events that say no more than the exception does."""


@dataclass(frozen=True)
class Answer:
    """What one dbt command gave."""

    result: Any
    exception: BaseException | None
    inside: Mapping[str, Any]
    """dbt's ``ctx.obj`` (``dbt.cli.requires``) as far as it came: ``flags``, ``profile``, ``project``, ``runtime_config``."""
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    """What dbt complained of as events before it gave up; the exception may not repeat it."""


def ask(arguments: Sequence[str], manifest: Any = None) -> Answer:
    """Run one dbt command in this process, in the folder that the process is in. Raises nothing of dbt's.

    :param manifest: one that is parsed already: the command then pays no parse.
    """
    inside: dict[str, Any] = {}
    seen: list[Mapping[str, Any]] = []
    said: dict[str, list[str]] = {"warn": [], "error": []}

    def listen(event: Any) -> None:
        if not seen:
            context = click.get_current_context(silent=True)
            if context is not None and isinstance(context.obj, dict):
                seen.append(context.obj)
        if event.info.level in said and event.info.name not in REPEATED:
            said[event.info.level].append(event.info.msg)

    answer = dbtRunner(manifest=manifest, callbacks=[listen]).invoke(list(arguments))
    for found in seen:
        inside.update(found)
    return Answer(answer.result, answer.exception, inside, tuple(said["warn"]), tuple(said["error"]))


@contextmanager
def flags_of(command: Sequence[str]) -> Iterator[Any]:
    """The flags that dbt would resolve for ``command`` (line, environment, ``dbt_project.yml``), in force inside the block."""
    before = get_flags()
    flags = Flags(args_to_context(list(command)))
    set_flags(flags)
    try:
        yield flags
    finally:
        set_flags(before)
        if isinstance(before, Flags):
            before.set_common_global_flags()


@contextmanager
def overhearing() -> Iterator[list[Any]]:
    """The events that dbt fires inside the block, heard by nobody else."""
    manager = get_event_manager()
    loggers, callbacks = manager.loggers, manager.callbacks
    heard: list[Any] = []
    manager.loggers, manager.callbacks = [], [heard.append]
    try:
        yield heard
    finally:
        manager.loggers, manager.callbacks = loggers, callbacks
