"""``dbt-flow run``: build a DAG now, on this machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from dbt_flow.cli.completing import PAIR
from dbt_flow.cli.finding import file_of
from dbt_flow.cli.terminal import DAG, Context, pair
from dbt_flow.cli.watching import watch
from dbt_flow.errors import InputError
from dbt_flow.launch import Launch
from dbt_flow.settings import Settings


@click.command("run", short_help="Build a DAG now.")
@click.argument("dag", metavar="DAG|FILE", type=DAG)
@click.option(
    "--param", "-p", "params", multiple=True, metavar="NAME=VALUE", type=PAIR, help="A parameter of the run; may be repeated."
)
@click.option("--target", metavar="NAME", help="A dbt target instead of the DAG's or the profile's.")
@click.option("--upstream", is_flag=True, help="Build the tables of other DAGs that are missing, too.")
@click.option("--defer-to", metavar="TARGET", help="Read tables that are missing here from that target (dbt's defer).")
@click.option("--compare-to", metavar="DIR", help="A folder with a manifest.json, for `state:` in selections. [last good run]")
@click.option("--no-reuse", is_flag=True, help="Build everything, whatever the DAG's `reuse` says.")
@click.option("--full-refresh", is_flag=True, help="Make incremental models and seeds anew (dbt's own flag).")
@click.option("--event-time-start", metavar="TIME", help="The first moment that microbatch models build (dbt's own flag).")
@click.option("--event-time-end", metavar="TIME", help="The first moment that they no longer build.")
@click.option("--print-metrics", is_flag=True, help="Show each metric that is sent, or would be, when the run has ended.")
@click.option("--project-dir", metavar="DIR", help="Run this dbt project; needs no dbt_flow.yml.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_context
def command(
    ctx: click.Context, /, dag: str, params: tuple[str, ...], as_json: bool, project_dir: str | None, **said: object
) -> int:
    """Build a DAG's models, seeds and snapshots and run its tests, as one Metaflow run.

    DAG is a name that `dbt-flow list` shows, or a YAML file anywhere. The run ends with what happened, and with its card.
    The exit code is 0 when everything that was planned is good, 1 when the run failed, 2 when it could not start, 130 when it
    was stopped.

    \b
    dbt-flow run carrier_risk
    dbt-flow run carrier_risk --param as_of=2026-11-01
    dbt-flow run my.yaml --project-dir ../shop
    """
    if bool(said["event_time_start"]) != bool(said["event_time_end"]):
        raise InputError("usage", "--event-time-start and --event-time-end go together", hint="give both, as dbt wants them")
    context: Context = ctx.obj
    settings = (Context(replace(context.flags, project_dir=project_dir)) if project_dir else context).settings
    if said["compare_to"]:  # the run's process works in the root
        said["compare_to"] = Path(str(said["compare_to"])).absolute()
    file = file_of(settings, dag)
    given = parameters(settings, file, params) if params else {}
    launch = Launch(
        dag_file=file,
        command=("run", *(word for name, value in given.items() for word in (f"--{name}", value))),
        settings=settings,
        variables={f"DBT_FLOW_{name.upper()}": "1" if value is True else str(value) for name, value in said.items() if value},
    )
    return watch(launch, as_json)


def parameters(settings: Settings, file: Path, said: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` words as a mapping, checked against the DAG's parameters.

    :raises DbtFlowError: a word without ``=``, an unknown name, a value that does not fit.
    """
    from dbt_flow.spec import load_dag  # only a run with parameters reads the file before it starts

    dag = load_dag(settings, file)
    given: dict[str, str] = {}
    for word in said:
        name, value = pair(word, "--param")
        given[name] = value
    dag.parameters(given, datetime.now(ZoneInfo(dag.timezone)).date())
    return given
