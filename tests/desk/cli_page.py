"""``docs/cli.md``, written from the commands themselves: ``python tests/desk/cli_page.py`` writes it anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from dbt_flow.cli import GROUPS, VERBS, cli

PAGE = Path(__file__).parents[2] / "docs/cli.md"


def page() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="dbt-flow")
    lines = [
        "# The command line",
        "",
        "Written from the commands themselves; `dbt-flow VERB --help` says the same. These options stand before the verb:",
        "",
        *_options(cli, context),
        "",
        "Exit codes: 0 good, 1 the run or check took place and is not good, 2 wrong input, 3 a bug, 130 interrupted. `--json`",
        "prints one JSON document on stdout; everything else goes to stderr.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group.capitalize()}"]
        for name in cli.list_commands(context):
            command = cli.get_command(context, name)
            if command is not None and VERBS[name].group == group:
                lines += _command(command, context, name, "###")
    return "\n".join(lines) + "\n"


def _command(command: click.Command, above: click.Context, name: str, level: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=above)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("", f"{level} dbt-flow {context.command_path.removeprefix('dbt-flow ')}", "")
    yield from ("```text", f"{context.command_path} {usage}", "```", "")
    yield from _help(command)
    rows = list(_options(command, context))
    if rows:
        yield from ("", *rows)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _command(found, context, inner, level + "#")


def _help(command: click.Command) -> Iterator[str]:
    """Paragraphs, and what stands behind a backspace as it is."""
    text = cleandoc(command.help or "")
    for index, block in enumerate(re.split(r"\n\s*\n", text)):
        if index:
            yield ""
        if block.startswith("\b"):
            yield from ("```console", *(f"$ {line.strip()}" for line in block.splitlines()[1:]), "```")
        else:
            yield " ".join(block.split()).replace("<", "&lt;")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record and "--help" not in record[0]:
            words = " ".join(record[1].split()).replace("|", "\\|").replace("<", "&lt;")
            rows.append(f"| `{record[0]}` | {words} |")
    if rows:
        yield from ("| option | |", "|---|---|", *rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
