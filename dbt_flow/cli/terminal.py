"""What every verb needs of a terminal: settings behind the global options, consoles, errors in words, JSON, DAG names."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.settings import Flags, Settings, dag_names, load_settings

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Context:
    """``click.Context.obj``: what the global options said. Nothing is read before :attr:`settings` is asked for."""

    flags: Flags

    @cached_property
    def settings(self) -> Settings:
        """Read once per command line."""
        return load_settings(self.flags)


def console(*, stdout: bool = False) -> Console:
    """A rich console: stderr for words beside the result, stdout for the result. Colour only on a terminal; NO_COLOR holds."""
    from rich.console import Console  # only for who has a terminal

    return Console(stderr=not stdout, highlight=False, soft_wrap=True, markup=False)


def emit_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False))


def report(errors: Iterable[DbtFlowError], *, stdout: bool = False, word: str = "error") -> None:
    """Each error for a person: place, what is wrong, the line with a caret, what to type next."""
    stream = sys.stdout if stdout else sys.stderr
    if not stream.isatty():
        for error in errors:
            click.echo(printable_on(stream, f"{word}: {error}"), file=stream)
        return
    from rich.text import Text  # only for who has a terminal

    screen = console(stdout=stdout)
    for error in errors:
        first, *rest = str(error).splitlines()
        screen.print(Text.assemble((f"{word}: ", "bold red" if word == "error" else "bold yellow"), (first, "bold")))
        for line in rest:
            screen.print(Text(line, style="cyan" if line.startswith("  ->") else "red" if line.strip(" |") == "^" else ""))


def printable_on(stream: Any, text: str) -> str:
    """``text`` with what the stream's encoding cannot show replaced."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding, "replace")


def pair(word: str, flag: str) -> tuple[str, str]:
    """A ``NAME=VALUE`` that stands behind ``flag``.

    :raises InputError: it is none.
    """
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise InputError("usage", f"{flag} {word}: NAME=VALUE was expected", hint=f"write {flag} as_of=2026-11-01")
    return name, value


class DagName(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in new clicks
    """The name of a DAG, or the path of a DAG file. Completion lists names, from file names alone."""

    name = "dag"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Names that begin like ``incomplete``; files too, as soon as it looks like a path."""
        if "/" in incomplete or incomplete.startswith("."):
            return [CompletionItem(incomplete, type="file")]
        from dbt_flow.cli.completing import settings_said

        try:
            names = dag_names(settings_said(ctx))
        except DbtFlowError:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


DAG = DagName()


class RunName(DagName):
    """A run, such as ``CarrierRisk/123``, or a DAG for its last one. Completion lists DAGs, and behind a slash runs."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """DAGs and their flows, and the runs of a flow."""
        from dbt_flow.cli.completing import runs, settings_said

        try:
            return [CompletionItem(run) for run in runs(settings_said(ctx), incomplete)]
        except DbtFlowError:
            return []


RUN = RunName()
