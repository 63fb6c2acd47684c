"""``dbt-flow retry``: run again what has no good result."""

from __future__ import annotations

import shlex

import click

from dbt_flow.cli.finding import file_of, find, settled
from dbt_flow.cli.terminal import RUN, Context
from dbt_flow.cli.watching import watch
from dbt_flow.errors import InputError
from dbt_flow.launch import Launch
from dbt_flow.records import RunResult
from dbt_flow.state.runs import RunRecord


@click.command("retry", short_help="Run again what has no good result.")
@click.argument("run", metavar="DAG|RUN", type=RUN)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, run: str, as_json: bool) -> int:
    """Make a new run that follows an earlier one: what has no good result there runs, with what depends on it, no more.

    RUN is a run such as CarrierRisk/123, or a DAG for its last one. Parameters and options are those of the earlier run. What
    another run has built since for other values runs, too. It also works after a run was killed.
    """
    settings = context.settings
    record = find(settings, run)
    result = settled(record)
    if result is None:
        raise InputError("usage", f"{run} is still running", hint=f"wait for it, or see dbt-flow card {run}")
    file = file_of(settings, record.ref.dag)
    if result.status == "success":
        _still_good(record, result)
        click.echo(f"{result.run} is good: there is nothing to retry", err=True)
    launch = Launch(
        dag_file=file,
        command=("resume", "--origin-run-id", record.ref.number),
        settings=settings,
        variables={
            **_options(record),
            "DBT_FLOW_TARGET": record.ref.target,
            "DBT_FLOW_TRIGGER": f"retry of {result.run}",
        },
    )
    return watch(launch, as_json)


def _options(record: RunRecord) -> dict[str, str]:
    """What the earlier run was told beyond its DAG file, as the variables that tell the new one."""
    from dbt_flow.pipeline.job import OPTION_VARIABLES, REPEATED

    said = next((attempt.header.get("options") or {} for attempt in record.attempts() if attempt.header), {})
    return {OPTION_VARIABLES[name]: str(said[name]) for name in REPEATED if said.get(name)}


def _still_good(record: RunRecord, result: RunResult) -> None:
    """Metaflow takes a good run over whole: nothing of it would be built again.

    :raises InputError: another run has built something of it since, for other values.
    """
    from dbt_flow.pipeline.following import overtaken

    gone = overtaken(record.store, [record.ref], [node.id for node in result.nodes if node.good])
    if gone:
        node, reason = next(iter(gone.items()))
        more = f", and {len(gone) - 1} more" if len(gone) > 1 else ""
        given = "".join(f" --param {name}={shlex.quote(str(value))}" for name, value in result.parameters.items())
        raise InputError(
            "usage",
            f"{result.run} was good and is so no longer: of {node.split('.')[2]}, {reason}{more}",
            hint=f"build it anew: dbt-flow run {record.ref.dag}{given}",
        )
