"""``dbt-flow list``: all DAGs at a glance. A file that is wrong is a row too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import click

from dbt_flow.cli.terminal import Context, emit_json
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag, load_fleet, next_starts
from dbt_flow.yamlfile.naming import dag_name

COLUMNS = ("name", "owner", "starts", "next start", "now", "file")
"""Of the table, each a key of a row."""


@click.command("list", short_help="Show all DAGs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, as_json: bool) -> int:
    """Show all DAGs: owner, what starts them, when next, and which are running, waiting or held under dbt-flow serve.

    A file that is wrong is shown with the number of its errors, and does not stop the others; dbt-flow validate says more.
    """
    settings = context.settings
    fleet = load_fleet(settings)
    now = datetime.now(timezone.utc)
    stands = _where_they_stand(settings, fleet.dags, now)
    rows = [_row(dag, now, stands) for dag in fleet.dags]
    rows += [_bad_row(dag_name(settings.root / file), file, len(errors)) for file, errors in fleet.bad.items()]
    rows.sort(key=lambda row: row["file"])
    if as_json:
        emit_json({"dags": rows})
        return 0
    if rows:
        click.echo(_table(rows))
    else:
        click.echo(f"no DAG files in {settings.shown(settings.dags)}", err=True)
    return 0


def _where_they_stand(settings: Settings, dags: Iterable[Dag], now: datetime) -> dict[str, str]:
    """What dbt-flow serve has noted of each; nothing when it never ran here."""
    if not (settings.state / "serve" / "events.sqlite").is_file():
        return {}
    from dbt_flow.serve.eventlog import EventLog
    from dbt_flow.serve.listeners import of_dag, user_branch
    from dbt_flow.serve.now import now_of

    log, branch = EventLog(settings.state, readonly=True), user_branch(settings)
    return {dag.name: now_of(log, of_dag(dag, settings.project, branch), now.timestamp()).text for dag in dags}


def _row(dag: Dag, now: datetime, stands: Mapping[str, str]) -> dict[str, Any]:
    starts = next_starts(dag, now, 1)
    return {
        "name": dag.name,
        "owner": dag.owner,
        "starts": dag.trigger.text,
        "next start": starts[0].at.isoformat() if starts else None,
        "now": stands.get(dag.name) or None,
        "file": dag.file,
        "errors": 0,
    }


def _bad_row(name: str, file: str, errors: int) -> dict[str, Any]:
    return {"name": name, "owner": None, "starts": None, "next start": None, "now": None, "file": file, "errors": errors}


def _table(rows: list[dict[str, Any]]) -> str:
    """Columns as wide as they must be, and no wider: nothing is cut, so that a pipe gets it all."""
    lines = [[column.upper() for column in COLUMNS], *([_cell(row, column) for column in COLUMNS] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "starts" and row["errors"]:
        return f"{row['errors']} error{'s' if row['errors'] > 1 else ''}"
    if column == "next start" and row[column]:
        return f"{datetime.fromisoformat(row[column]):%Y-%m-%d %H:%M}"
    return str(row[column] or "-")
