"""``dbt-flow metaflow``: any Metaflow command of a DAG's flow."""

from __future__ import annotations

import click

from dbt_flow.cli.terminal import DAG, Context
from dbt_flow.launch import pass_through
from dbt_flow.spec import load_dag


@click.command("metaflow", short_help="Pass a command on to Metaflow.", context_settings={"ignore_unknown_options": True})
@click.argument("dag", metavar="DAG|FILE", type=DAG)
@click.argument("words", nargs=-1, metavar="[--] COMMAND...", type=click.UNPROCESSED)
@click.pass_obj
def command(context: Context, dag: str, words: tuple[str, ...]) -> int:
    """Run any Metaflow command of a DAG's flow, as `python dag.py --config dag FILE COMMAND` would.

    \b
    dbt-flow metaflow carrier_risk -- show
    dbt-flow metaflow carrier_risk -- card list end
    dbt-flow metaflow carrier_risk -- resume --origin-run-id 1795297991498229
    """
    settings = context.settings
    chosen = load_dag(settings, dag)
    return pass_through(settings.root / chosen.file, settings, words or ("--help",))
