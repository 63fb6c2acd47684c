"""Words for people: parse, one call, print, exit code.

:data:`VERBS` is the one table of verbs: each is a module of this folder with an attribute ``command``, imported when used. So
``--help`` and completion import no verb, and ``validate`` loads neither dbt nor Metaflow. A new verb is a file and a line.

:func:`main` is the one place that catches: what it is told of has a message and an exit code; anything else is a bug (exit 3).
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from dbt_flow import __version__
from dbt_flow.cli.terminal import Context, emit_json, report
from dbt_flow.errors import DbtFlowError, flatten
from dbt_flow.flows.garbage import seldom
from dbt_flow.settings import Flags
from dbt_flow.yamlfile import did_you_mean

BUG, INTERRUPTED, BROKEN_PIPE = 3, 130, 141
"""Exit codes that belong to no error class."""

COMPLETE = "_DBT_FLOW_COMPLETE"
"""The variable with which a shell asks for completion; click's own."""

GROUPS = ("every day", "on call", "fleet")


@dataclass(frozen=True)
class Verb:
    """A line of the table."""

    module: str
    group: str
    help: str


VERBS = {
    "run": Verb("run", "every day", "Build a DAG's models and tests, now, on this machine."),
    "plan": Verb("plan", "every day", "Show what a run would do, step by step, without doing it."),
    "validate": Verb("validate", "every day", "Check DAG files: every problem, with its place."),
    "list": Verb("list_dags", "every day", "Show all DAGs: owner, what starts them, next start."),
    "serve": Verb("serve_verb", "every day", "Start DAGs and ML flows on schedules, events and ends of runs."),
    "simulate": Verb("simulate", "every day", "Show what an event or a time would start, when and why."),
    "card": Verb("card_verb", "every day", "Show the card of a run."),
    "history": Verb("history_verb", "on call", "Show the last runs of a DAG and how they ended."),
    "retry": Verb("retry", "on call", "Run again what has no good result in a run."),
    "backfill": Verb("backfill", "on call", "Run a DAG over a span of days, chunk by chunk."),
    "receipt": Verb("receipt_verb", "on call", "Show a run's receipt: which code and data made which tables."),
    "trace": Verb("trace", "on call", "Show what a model, table or run came from, and what came of it."),
    "alerts": Verb("alerts_verb", "on call", "Install, test and send alerts: pages, messages, monitors."),
    "artifacts": Verb("artifacts_verb", "on call", "Fetch dbt's artifacts of a run: manifest, run results."),
    "events": Verb("events", "on call", "Publish, list and replay events."),
    "lint": Verb("lint", "fleet", "Check the whole fleet: what no DAG builds, what two do, who does not wait."),
    "init": Verb("init", "fleet", "Make a dbt_flow.yml and a first DAG for a dbt project."),
    "new": Verb("new", "fleet", "Make a further DAG, from what the project suggests."),
    "deploy": Verb("deploy", "fleet", "Deploy to Argo Workflows or Step Functions: plan, apply, drift, destroy."),
    "completion": Verb("completion", "fleet", "Print what makes your shell complete DAGs, nodes and tags."),
    "metaflow": Verb("metaflow", "fleet", "Pass a command on to a DAG's Metaflow flow."),
}


class Verbs(click.Group):
    """A group whose commands stand in :data:`VERBS`, and are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs whose module is there."""
        folder = Path(__file__).parent
        return [name for name, verb in VERBS.items() if (folder / f"{verb.module}.py").is_file()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"{__name__}.{VERBS[cmd_name].module}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, and with the nearest verb when there is none of that name."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            near = did_you_mean(args[0], known)
            hint = f"Did you mean {near}?" if near else f"The commands are: {', '.join(known)}."
            raise click.UsageError(f"No such command {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does it, but for a reader that has gone: click would end with 1, which says that a run is not good."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _hush()
            return BROKEN_PIPE

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, in its groups."""
        known = self.list_commands(ctx)
        for group in GROUPS:
            rows = [(name, VERBS[name].help) for name in known if VERBS[name].group == group]
            if rows:
                with formatter.section(group.capitalize()):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The table again: completion imports no verb."""
        items = [CompletionItem(n, help=VERBS[n].help) for n in self.list_commands(ctx) if n.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--root", metavar="DIR", help="The folder with dbt_flow.yml. [found upwards]")
@click.option("--project-dir", metavar="DIR", help="Run this dbt project; needs no dbt_flow.yml.")
@click.option("--profiles-dir", metavar="DIR", help="The folder with profiles.yml. [dbt's own rules]")
@click.option("--state", metavar="DIR", help="Where runs are remembered. [.dbt_flow at the root]")
@click.version_option(__version__, prog_name="dbt-flow", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, /, **flags: Any) -> None:
    """dbt on Metaflow: a YAML file becomes a run of the right models and tests."""
    ctx.obj = Context(Flags(**flags))


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. Every error ends here."""
    words = list(sys.argv[1:] if args is None else args)
    _open_what_is_closed()
    seldom()
    if COMPLETE in os.environ:
        return _complete(words)
    as_json = "--json" in words
    try:
        code = cli.main(args=words, prog_name="dbt-flow", standalone_mode=False)
        sys.stdout.flush()
    except DbtFlowError as error:
        return _told(error, as_json)
    except click.ClickException as error:
        return _usage(error, as_json)
    except (KeyboardInterrupt, click.Abort):
        return _interrupted()
    except BrokenPipeError:
        _hush()
        return BROKEN_PIPE
    except Exception as error:
        return _bug(error, as_json)
    return code if isinstance(code, int) else 0


def _open_what_is_closed() -> None:
    """Started with a closed stdout or stderr (``>&-``, some daemons), a process has none, and a file would get its number."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nobody = os.open(os.devnull, os.O_WRONLY)
            if nobody != number:
                os.dup2(nobody, number)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def _interrupted() -> int:
    click.echo("interrupted", err=True)
    # CPython remembers an interrupt that came while a string was executed (dataclasses do), caught or not, and a process
    # started with `-m` would then end by the signal; the next string that is executed makes it forget (run_eval_code_obj).
    exec("")  # noqa: S102 - a constant
    return INTERRUPTED


def _complete(words: list[str]) -> int:
    """What the shell asks for while a person types: whatever goes wrong, their line is not spoilt with it."""
    with suppress(Exception, SystemExit), redirect_stderr(None):
        cli.main(args=words, prog_name="dbt-flow", standalone_mode=False)
    return 0


def _hush() -> None:
    """Whoever read our output has gone; Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: DbtFlowError, as_json: bool) -> int:
    if as_json:
        emit_json({"errors": [single.to_dict() for single in flatten(error)]})
    report(flatten(error))
    return error.exit_code


def _usage(error: click.ClickException, as_json: bool) -> int:
    if as_json:
        nowhere = {"file": None, "line": None, "column": None, "hint": "dbt-flow --help"}
        emit_json({"errors": [{**nowhere, "code": "usage", "message": error.format_message()}]})
    error.show()
    return 2


def _bug(error: Exception, as_json: bool) -> int:
    """Keep the traceback (it holds code, not values), and say where."""
    text = "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile("w", prefix="dbt-flow-bug-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write(f"dbt-flow {__version__}, Python {sys.version.split()[0]}\n\n{text}")
    message = f"a bug in dbt-flow: {type(error).__name__}: {error}"
    hint = f"please report it, with the file {log.name}"
    if as_json:
        emit_json({"errors": [{"file": None, "line": None, "column": None, "code": "bug", "message": message, "hint": hint}]})
    click.echo(f"{message}\n  -> {hint}", err=True)
    return BUG
