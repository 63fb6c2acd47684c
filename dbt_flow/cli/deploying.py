"""Words for ``dbt-flow deploy``: the plan as a table, what goes on while it is done, and the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dbt_flow.cli.terminal import console, emit_json, report
from dbt_flow.errors import InputError

if TYPE_CHECKING:
    from dbt_flow.deploy.applying import Done
    from dbt_flow.deploy.drifting import Drift
    from dbt_flow.deploy.nouns import Space
    from dbt_flow.deploy.planning import DeployPlan
    from dbt_flow.deploy.schedulers import Scheduler

_STYLES = {"create": "green", "update": "yellow", "remove": "red", "keep": "dim", "same": "dim"}
_DONE = {"create": "created", "update": "updated", "remove": "removed"}


class Progress:
    """Told what goes on; a status line on a terminal, a line for each step elsewhere."""

    def __init__(self, status: Any) -> None:
        self._status = status
        self._last = ""
        self._ended = self._of = 0

    def __call__(self, text: str) -> None:
        """What goes on now."""
        if self._status is not None:
            self._status.update(text)
        elif text != self._last:
            click.echo(text, err=True)
        self._last = text

    def expect(self, flows: int) -> None:
        """So many flows will be told."""
        self._of = flows

    def told(self, done: Done) -> None:
        """One flow has ended, well or not."""
        self._ended += 1
        with self._aside():
            if done.error is None:
                click.echo(f"{_DONE[done.action.action]} {done.action.name} ({self._ended} of {self._of})", err=True)
            else:
                report([done.error])

    def ask(self, question: str) -> None:
        """:raises InputError: nobody can answer, and ``--yes`` was not said."""
        if not sys.stdin.isatty() or self._status is None:
            message = f"{question} Nobody is there to answer"
            raise InputError("usage", message, hint="say --yes, if that is meant")
        with self._aside():
            click.confirm(question, abort=True, err=True)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """The status line makes room for lines that stay."""
        if self._status is not None:
            self._status.stop()
        yield
        if self._status is not None:
            self._status.start()


@contextmanager
def progress() -> Iterator[Progress]:
    """The display of one command."""
    if not sys.stderr.isatty():
        yield Progress(None)
        return
    with console().status("") as status:
        yield Progress(status)


def show_plan(plan: DeployPlan, document: Mapping[str, Any], as_json: bool) -> None:
    """A line for each flow with the reasons; what is wrong goes to stderr."""
    if as_json:
        emit_json(document)
    else:
        _table(plan)
        click.echo(_counted(plan))
    report(plan.errors)
    if plan.errors:
        click.echo("this plan cannot be applied", err=True)


def _table(plan: DeployPlan) -> None:
    from rich import box  # only for people
    from rich.table import Table
    from rich.text import Text

    shown = [action for action in plan.actions if action.action != "same"]
    if not shown:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "flow", "starts", "because"):
        table.add_column(column, overflow="fold")
    for reason in plan.shared:  # once, and not for each of two hundred flows
        having = [action.name for action in plan.of("update") if reason in action.because]
        table.add_row(Text("update", style=_STYLES["update"]), f"{len(having)} flows", "", Text(reason))
    for action in shown:
        own = [reason for reason in action.because if reason not in plan.shared]
        if action.because and not own:
            continue
        style = _STYLES[action.action]
        starts = action.wanted.starts if action.wanted else ""
        table.add_row(Text(action.action, style=style), action.name, Text(starts), Text("; ".join(own)))
    console(stdout=True).print(table)


def _counted(plan: DeployPlan) -> str:
    words = (("create", "to create"), ("update", "to update"), ("remove", "to remove"), ("same", "the same"), ("keep", "kept"))
    counts = [f"{len(plan.of(kind))} {word}" for kind, word in words if plan.of(kind)]
    where = f"{plan.scheduler}, {plan.space.project}, {plan.space.name}"
    others = f"; {len(plan.strangers)} more flows there are not dbt-flow's" if plan.strangers else ""
    return f"{where}: {', '.join(counts) or 'nothing is wanted, and nothing is there'}{others}"


def show_done(plan: DeployPlan, done: Sequence[Done], as_json: bool) -> int:
    """The end of an apply; gives the exit code."""
    bad = [one for one in done if one.error is not None]
    if as_json:
        document = {"scheduler": plan.scheduler, "project": plan.space.project, "branch": plan.space.branch}
        emit_json({**document, "same": len(plan.of("same")), "flows": [one.to_dict() for one in done]})
    else:
        counts = [
            f"{number} {_DONE[kind]}"
            for kind in _DONE
            if (number := sum(one.action.action == kind and one.error is None for one in done))
        ]
        counts += [f"{len(plan.of('same'))} the same"] if plan.of("same") else []
        counts += [f"{len(bad)} not done"] if bad else []
        click.echo(f"{plan.scheduler}, {plan.space.project}, {plan.space.name}: {', '.join(counts) or 'nothing to do'}")
    return int(bool(bad))


def show_drift(found: Sequence[Drift], scheduler: Scheduler, space: Space, as_json: bool) -> int:
    """What is not as it was applied; gives the exit code."""
    ours = [one for one in found if one.ours]
    if as_json:
        emit_json(
            {
                "scheduler": scheduler.name,
                "project": space.project,
                "branch": space.branch,
                "flows": [d.to_dict() for d in found],
            }
        )
        return int(bool(ours))
    for one in found:
        click.echo(f"{one.name}: {one.what}")
    if not ours:
        click.echo(f"{scheduler.title}, {space.project}, {space.name}: all that dbt-flow deployed is as it was applied")
    else:
        click.echo("dbt-flow deploy apply puts it back as the files say", err=True)
    return int(bool(ours))
