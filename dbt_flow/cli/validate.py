"""``dbt-flow validate``: every problem of every DAG file, with its place. Only ``--project`` loads dbt."""

from __future__ import annotations

import click

from dbt_flow.cli.terminal import DAG, Context, emit_json, report
from dbt_flow.errors import DbtFlowError, InputError, Place, flatten
from dbt_flow.report.words import count
from dbt_flow.settings import Settings
from dbt_flow.spec import Fleet, load_fleet
from dbt_flow.spec.schema import FILE, schema_text


@click.command("validate", short_help="Check DAG files.")
@click.argument("dags", nargs=-1, metavar="[DAG|FILE]...", type=DAG)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.option(
    "--project", "with_project", is_flag=True, help="Ask dbt, too, whether each selection is good and selects something."
)
@click.option("--write-schema", is_flag=True, help=f"Write the JSON schema for editors to dags/{FILE}, and end.")
@click.pass_obj
def command(context: Context, dags: tuple[str, ...], as_json: bool, with_project: bool, write_schema: bool) -> int:
    """Check DAG files (all of them by default): every problem, with file, line, column and what to do.

    The exit code is 2 when there is an error, 0 otherwise; warnings do not count.
    """
    if write_schema:
        return _write_schema(context.settings)
    try:
        settings = context.settings
        fleet = load_fleet(settings, dags)
    except DbtFlowError as error:
        fleet = Fleet((), flatten(error), (), ())
    errors = fleet.errors
    if not dags and fleet.files and settings.flows:
        from dbt_flow.serve.flow_reading import Reader  # reads ML flows, each in a process of its own

        errors += tuple(Reader(settings).flow_problems())
    if with_project and fleet.dags:
        from dbt_flow.pipeline.prepare import check_selections  # loads dbt

        errors += tuple(single for error in check_selections(settings, fleet.dags) for single in flatten(error))
    _show(context, fleet, errors, as_json)
    return 2 if errors else 0


def _show(context: Context, fleet: Fleet, errors: tuple[DbtFlowError, ...], as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "files": [context.settings.shown(path) for path in fleet.files],
                "errors": [error.to_dict() for error in errors],
                "warnings": [warning.to_dict() for warning in fleet.warnings],
            }
        )
        return
    report(errors, stdout=True)
    report(fleet.warnings, stdout=True, word="warning")
    parts = [count(len(fleet.files), "file"), count(len(errors), "error") if errors else "no errors"]
    if fleet.warnings:
        parts.append(count(len(fleet.warnings), "warning"))
    click.echo(", ".join(parts))


def _write_schema(settings: Settings) -> int:
    path = settings.dags / FILE
    try:
        path.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        place = Place(settings.shown(path))
        raise InputError("unreadable", f"cannot write: {error.strerror}", place=place, hint="make the folder first") from None
    click.echo(f"wrote {settings.shown(path)}; in a DAG file: # yaml-language-server: $schema={FILE}")
    return 0
