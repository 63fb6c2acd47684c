"""``dbt-flow history``: the last runs of a DAG."""

from __future__ import annotations

from typing import Any

import click

from dbt_flow.cli.finding import settle_the_unheard, settled
from dbt_flow.cli.terminal import DAG, Context, console, emit_json
from dbt_flow.spec import load_dag
from dbt_flow.state.history import history as summaries
from dbt_flow.state.places import store_of
from dbt_flow.state.runs import RunRecord, find_runs
from dbt_flow.state.store import Store

_LOOK_BACK = 20  # runs that are looked at for being dead, or alive, but not settled


@click.command("history", short_help="Show the last runs of a DAG.")
@click.argument("dag", metavar="DAG", type=DAG)
@click.option("--limit", default=20, show_default=True, metavar="N", type=click.IntRange(1, 1000), help="How many runs.")
@click.option("--target", metavar="NAME", help="Of the runs on this dbt target only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, dag: str, limit: int, target: str | None, as_json: bool) -> int:
    """Show the last runs of a DAG, newest first: how each ended, when, how long it took, and what started it."""
    settings = context.settings
    store = store_of(settings)
    name = load_dag(settings, dag).name
    settle_the_unheard(store, name)
    going_on = _unsettled(store, name, target)
    rows = [*going_on, *summaries(store, name, target, limit)][:limit]
    if as_json:
        keys = ("run", "status", "started", "seconds", "trigger", "target", "reason")
        emit_json({"runs": [{key: row.get(key) for key in keys} for row in rows]})
        return 0
    if not rows:
        click.echo(f"{name} has not run yet", err=True)
        return 0
    _show(rows)
    return 0


def _unsettled(store: Store, dag: str, target: str | None) -> list[dict[str, Any]]:
    """Runs that go on; those that turn out to be dead are settled on the way, and so are in the history."""
    rows = []
    for index, ref in enumerate(find_runs(store, dag, target)):
        if index >= _LOOK_BACK:
            break
        record = RunRecord(store, ref)
        attempts = record.attempts()
        if attempts and settled(record) is None:
            header = attempts[0].header
            rows.append({"run": ref.number, **header, "status": "running", "seconds": None, "target": ref.target})
    return rows


def _show(rows: list[dict[str, Any]]) -> None:
    """Two lines for each run: its name, which people copy, is never folded; on a terminal the second line is."""
    from rich.padding import Padding  # only for people
    from rich.text import Text

    colours = {"success": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}
    screen = console(stdout=True)
    width = max(len(str(row.get("run", ""))) for row in rows)
    for row in rows:
        status = str(row.get("status", ""))
        took = f"{row['seconds']:.1f} s" if isinstance(row.get("seconds"), (int, float)) else ""
        started = str(row.get("started", ""))[:16].replace("T", " ") + " UTC"
        words = f"{row.get('run', '')!s:{width}}  {started}  {took}".rstrip()
        screen.print(Text.assemble((f"{status:<9}", colours.get(status, "")), "  ", words))
        more = f"on {row.get('target')}, {row.get('trigger') or 'by hand'}. {row.get('reason') or ''}".rstrip()
        if screen.is_terminal:
            screen.print(Padding(Text(more, style="dim"), (0, 0, 0, 11)), soft_wrap=False)
        else:
            screen.print(Text(f"{'':11}{more}"))
