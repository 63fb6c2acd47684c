"""``dbt-flow alerts``: install the monitors, test the ways, send what waits."""

from __future__ import annotations

import click

from dbt_flow.cli.terminal import DAG, Context, emit_json
from dbt_flow.errors import InputError
from dbt_flow.settings import SETTINGS_FILE
from dbt_flow.spec import load_dag
from dbt_flow.state.places import store_of


@click.group("alerts", short_help="Install, test and send alerts.")
def command() -> None:
    """Pages and messages: where they go is said under `alerts` in dbt_flow.yml."""


@command.command("install")
@click.pass_obj
def install(context: Context) -> int:
    """Make or update the three monitors in Datadog: failed, late, no data. Safe to run twice."""
    from dbt_flow.report.monitors import install as put

    settings = context.settings
    said = settings.destinations.alerts.datadog
    if said is None:
        message = f"pages do not go through Datadog: {SETTINGS_FILE} has no alerts.datadog"
        raise InputError("usage", message, hint="write alerts: {datadog: true}; pages then go through its monitors only")
    for name, what, number in put(settings.project, settings.owners, said):
        click.echo(f"{what:<9} {name} ({number})")
    return 0


@command.command("test")
@click.argument("dag", metavar="DAG|FILE", type=DAG)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def test(context: Context, dag: str, as_json: bool) -> int:
    """Send one harmless message to each place that a DAG's alerts go to.

    The exit code is 1 when one was not taken, or when there is no place.
    """
    from dbt_flow.report.rules import rules_of
    from dbt_flow.report.trying import try_all

    settings = context.settings
    tried = try_all(rules_of(settings, load_dag(settings, dag)))
    if as_json:
        routes = [{**item.route.to_dict(), "taken": not item.trouble, "trouble": item.trouble} for item in tried]
        emit_json({"dag": dag, "routes": routes})
    for item in () if as_json else tried:
        to = f" for {item.route.to}" if item.route.to else ""
        click.echo(f"{item.route.channel} through {item.route.variable}{to}: {item.trouble or 'taken'}")
    if not tried and not as_json:
        click.echo(f"{dag} tells nobody: no place under alerts or owners in {SETTINGS_FILE}", err=True)
    return 1 if not tried or any(item.trouble for item in tried) else 0


@command.command("flush")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def flush(context: Context, as_json: bool) -> int:
    """Send what waits in the outbox, now; runs that ended and were never told are told first.

    The exit code is 1 when something still waits.
    """
    from dbt_flow.report.channels import send
    from dbt_flow.report.outbox import Outbox
    from dbt_flow.report.telling import tell_all_untold

    store = store_of(context.settings)
    untold = tell_all_untold(store)
    done = Outbox(store).flush(send, at_once=True)
    if as_json:
        facts = {"sent": done.sent, "waiting": done.waiting, "dropped": done.dropped, "untold_runs": untold}
        emit_json({**facts, "busy": done.busy, "troubles": done.troubles})
    else:
        click.echo(
            f"{done.sent} sent, {done.waiting} waiting" + (f", {done.dropped} too old and dropped" if done.dropped else "")
        )
        for variable, why in done.troubles.items():
            click.echo(f"  {variable}: {why}", err=True)
        if done.busy:
            click.echo("another process is sending just now", err=True)
    return 1 if done.waiting else 0
