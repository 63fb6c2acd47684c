"""``dbt-flow plan --base REV``: what a change does to the DAGs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dbt_flow.cli.progress import progress
from dbt_flow.cli.terminal import Context, emit_json, printable_on, report
from dbt_flow.settings import SUFFIXES
from dbt_flow.yamlfile.naming import dag_name


def plan_base(context: Context, names: tuple[str, ...], revision: str, as_json: bool, as_markdown: bool) -> int:
    """Compare, and print; 0 also when nothing is otherwise, 2 when DAGs of the work tree cannot be read."""
    from dbt_flow.pipeline.compared_document import document_of  # loads dbt
    from dbt_flow.pipeline.revisions import compare
    from dbt_flow.report.compared import markdown, text

    named = tuple(dag_name(Path(name)) if name.endswith(SUFFIXES) else name for name in names)
    with progress(f"comparing with {revision}") as tell:
        found = compare(context.settings, context.flags, revision, named, tell)
    document = document_of(found)
    if as_json:
        emit_json(document)
    else:
        click.echo(printable_on(sys.stdout, markdown(document) if as_markdown else text(document)))
    report(found.problems)
    return 2 if found.problems else 0
