"""``dbt-flow retry``: run again what has no good result."""

from __future__ import annotations

import click

from dbt_flow.cli.finding import file_of, find, settled
from dbt_flow.cli.terminal import RUN, Context
from dbt_flow.cli.watching import watch
from dbt_flow.errors import InputError
from dbt_flow.launch import Launch


@click.command("retry", short_help="Run again what has no good result.")
@click.argument("run", metavar="DAG|RUN", type=RUN)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, run: str, as_json: bool) -> int:
    """Make a new run that follows an earlier one: what has no good result there runs, with what depends on it, no more.

    RUN is a run such as CarrierRisk/123, or a DAG for its last one. Parameters are those of the earlier run. It also works
    after a run was killed.
    """
    settings = context.settings
    record = find(settings, run)
    result = settled(record)
    if result is None:
        raise InputError("usage", f"{run} is still running", hint=f"wait for it, or see dbt-flow card {run}")
    file = file_of(settings, record.ref.dag)
    if result.status == "success":
        click.echo(f"{result.run} is good: there is nothing to retry", err=True)
    launch = Launch(
        dag_file=file,
        command=("resume", "--origin-run-id", record.ref.number),
        settings=settings,
        variables={"DBT_FLOW_TARGET": record.ref.target, "DBT_FLOW_TRIGGER": f"retry of {result.run}"},
    )
    return watch(launch, as_json)
