"""``dbt-flow backfill``: a DAG over a span of days, a run for each chunk, which can be stopped and gone on with."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from dbt_flow.cli.completing import PAIR
from dbt_flow.cli.terminal import DAG, Context, console, emit_json, pair

if TYPE_CHECKING:
    from dbt_flow.cli.chunk_runs import Backfill
    from dbt_flow.state.backfills import Known


@click.command("backfill", short_help="Run a DAG over a span of days.")
@click.argument("dag", metavar="DAG|FILE", type=DAG)
@click.option("--from", "first", required=True, metavar="DAY", help="The first day: a date, today or yesterday.")
@click.option("--to", "last", required=True, metavar="DAY", help="The last day, included.")
@click.option(
    "--chunk", "size", default="1d", show_default=True, metavar="SIZE", help="Days of a run: 1d, 2w, 1mo, month, year."
)
@click.option("--over", metavar="NAME[,NAME]", help="The date parameters for a chunk's first day, and the day after its last.")
@click.option(
    "--param", "-p", "params", multiple=True, metavar="NAME=VALUE", type=PAIR, help="A parameter of every run; may be repeated."
)
@click.option("--target", metavar="NAME", help="A dbt target instead of the DAG's or the profile's.")
@click.option("--parallel", default=1, show_default=True, metavar="N", type=click.IntRange(1, 64), help="Runs at a time.")
@click.option("--fail-fast", is_flag=True, help="Begin no further chunk once one has failed.")
@click.option("--again", is_flag=True, help="Run every chunk, also those with a good result.")
@click.option("--dry-run", is_flag=True, help="Show the chunks and what is known of them; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, /, dag: str, as_json: bool, **said: Any) -> int:
    """Run a DAG for each chunk of a span of days, the oldest first.

    A chunk is a Metaflow run of its own, with the tag backfill:ID, and stands in dbt-flow history. Its days reach dbt as event
    times, for microbatch models, and as the DAG's date parameters: one, for the first day, or two, for the first day and the
    day after the last. The same call again runs only the chunks that have no good result. Ctrl-C stops the runs and exits
    with 130; a failed chunk does not stop the others, and makes the exit code 1.

    \b
    dbt-flow backfill carrier_risk --from 2026-01-01 --to 2026-03-31 --chunk month --dry-run
    dbt-flow backfill carrier_risk --from 2026-01-01 --to 2026-03-31 --chunk month
    """
    from dbt_flow.cli.chunk_runs import Chunks, lines

    settings = context.settings
    backfill = _read(context, dag, said)
    if said["dry_run"]:
        known = {} if said["again"] else backfill.known()
        if as_json:
            emit_json(backfill.document(known, "planned"))
        else:
            _table(backfill, known)
        return 0
    with backfill.ledger.held():
        backfill.ledger.opened(again=said["again"])
        runs = Chunks(settings, backfill, parallel=said["parallel"], fail_fast=said["fail_fast"], quiet=as_json)
        code = runs.run()
    if as_json:
        emit_json(backfill.document(runs.known, "cancelled" if code == 130 else "success" if code == 0 else "failed"))
    else:
        screen = console(stdout=True)
        for text, style in lines(backfill, runs, code):
            screen.print(text, style=style or None)
    return code


def _read(context: Context, dag: str, said: dict[str, Any]) -> Backfill:
    """All that the command line means.

    :raises DbtFlowError: a day, a size, a parameter that does not fit.
    """
    from dbt_flow.cli.chunk_runs import Backfill
    from dbt_flow.cli.finding import file_of
    from dbt_flow.spec import load_dag
    from dbt_flow.spec.chunks import check_given, cut, day, over
    from dbt_flow.state.backfills import Ledger
    from dbt_flow.state.places import store_of

    settings = context.settings
    found = load_dag(settings, dag)
    today = datetime.now(ZoneInfo(found.timezone)).date()
    first, last = day(said["first"], today, "--from"), day(said["last"], today, "--to")
    chunks = cut(first, last, said["size"])
    by_chunk = over(found, said["over"])
    given = dict(pair(word, "--param") for word in said["params"])
    check_given(given, by_chunk)
    found.parameters({**given, **by_chunk.values(chunks[0])}, today)
    call = {
        "from": str(first),
        "to": str(last),
        "chunk": said["size"],
        "over": [by_chunk.start, by_chunk.end],
        "params": given,
        "target": said["target"],
    }
    return Backfill(
        file=file_of(settings, dag),
        dag=found.name,
        chunks=chunks,
        over=by_chunk,
        given=given,
        target=said["target"],
        ledger=Ledger(store_of(settings), found.name, call),
        command=_again(dag, said, str(first), str(last)),
    )


def _again(dag: str, said: dict[str, Any], first: str, last: str) -> str:
    """The same call, as a person would type it; `today` will be another day tomorrow, so it is spelled out."""
    words = ["dbt-flow", "backfill", dag, "--from", first, "--to", last, "--chunk", said["size"]]
    for flag in ("over", "target"):
        words += [f"--{flag}", said[flag]] if said[flag] else []
    words += [word for param in said["params"] for word in ("--param", param)]
    words += ["--parallel", str(said["parallel"])] if said["parallel"] > 1 else []
    return shlex.join(words)


def _table(backfill: Backfill, known: dict[str, Known]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    screen = console(stdout=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("days", "parameters", "what is known"):
        table.add_column(column, no_wrap=column == "days", overflow="fold")
    rows = backfill.document(known, "planned")["chunks"]
    for chunk, row in zip(backfill.chunks, rows, strict=True):
        parameters = " ".join(f"{name}={value}" for name, value in row["parameters"].items())
        told = f"{row['status']}, {row['run']}" if row["run"] else "to run"
        style = "green" if row["status"] == "success" else "red" if row["status"] == "failed" else ""
        table.add_row(str(chunk), parameters or "-", Text(told, style=style))
    screen.print(table)
    good = sum(row["status"] == "success" for row in rows)
    screen.print(f"{len(rows)} chunks of {backfill.dag}: {len(rows) - good} to run, {good} good already. Nothing was run.")
    screen.print("Microbatch models build each chunk's days alone: they are told them as event times.")
    for note in backfill.notes():
        screen.print(f"note: {note}")
    screen.print(f"To run them: {backfill.command}")
