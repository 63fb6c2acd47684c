"""``dbt-flow trace``: from a model, a table or a run up to its data and code, and down to what was made of it."""

from __future__ import annotations

import click

from dbt_flow.cli.completing import NODE
from dbt_flow.cli.terminal import Context, emit_json
from dbt_flow.pipeline.tracing import Thing, trace
from dbt_flow.state.places import store_of


@click.command("trace", short_help="Show what a model, table or run came from, and what came of it.")
@click.argument("what", metavar="MODEL|TABLE|RUN", type=NODE)
@click.option("--target", metavar="NAME", help="Of the runs on this dbt target only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, what: str, target: str | None, as_json: bool) -> int:
    """Show where a trained model, a table or a run comes from (runs, tables, sources, code), and what came of it.

    From receipts alone, each checked against its digest. Of a table, its newest run; of a model, its newest version, or
    NAME:VERSION.

    \b
    dbt-flow trace carrier_risk
    dbt-flow trace fct_loads
    dbt-flow trace CarrierRisk/1795302413712570
    """
    traced = trace(store_of(context.settings), what, target)
    for text in traced.damaged:
        click.echo(f"warning: {text}", err=True)
    if as_json:
        both = {"up": traced.up.to_dict(), "down": traced.down.to_dict()}
        emit_json({"what": what, **both, "damaged": list(traced.damaged)})
        return 0
    click.echo(f"{traced.up.text}")
    click.echo("came from")
    _show(traced.up, "")
    click.echo("went into")
    _show(traced.down, "")
    return 0


def _show(thing: Thing, indent: str) -> None:
    if not thing.below and not indent:
        click.echo("  nothing that is known")
    for index, one in enumerate(thing.below):
        last = index == len(thing.below) - 1
        click.echo(f"{indent}{'└─' if last else '├─'} {one.text}")
        _show(one, f"{indent}{'   ' if last else '│  '}")
