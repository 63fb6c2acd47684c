"""``dbt-flow plan``: what a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import click

from dbt_flow.cli.progress import progress
from dbt_flow.cli.terminal import DAG, Context, emit_json, report
from dbt_flow.errors import InputError
from dbt_flow.spec import Dag, load_dag


@click.command("plan", short_help="Show what a run would do.")
@click.argument("dags", metavar="DAG|FILE", nargs=-1, type=DAG)
@click.option(
    "--base", metavar="REV", help="Compare with a revision of git: what moves, what changes; of all DAGs, or of those named."
)
@click.option("--markdown", is_flag=True, help="With --base: print Markdown, for a comment on a pull request.")
@click.option("--resolved", is_flag=True, help="Show the DAG file with its defaults, and where each value comes from.")
@click.option("--target", metavar="NAME", help="A dbt target instead of the DAG's or the profile's.")
@click.option("--compare-to", metavar="DIR", help="A folder with a manifest.json, for `state:` in selections. [last good run]")
@click.option("--project-dir", metavar="DIR", help="Run this dbt project; needs no dbt_flow.yml.")
@click.option("--steps", is_flag=True, help="Show step by step what runs after what, too.")
@click.option("--graph", metavar="[FILE]", is_flag=False, flag_value="", help="Draw it: into FILE.svg or FILE.html. [DAG.svg]")
@click.option("--open", "open_page", is_flag=True, help="Draw it, as a page in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, /, dags: tuple[str, ...], project_dir: str | None, as_json: bool, **said: Any) -> int:
    """Show what a run of a DAG would do and why, how long it takes, when it starts next, who waits for it and who is told.

    dbt is asked for the project and the selection; nothing is built. With --base, show what a change does to all DAGs: the work
    tree as it is against a revision of git, or, with REV..., against where your work began.

    Exit codes: 0 whether or not something changes; 2 when REV, a DAG file or the project cannot be read.

    \b
    dbt-flow plan carrier_risk
    dbt-flow plan carrier_risk --graph risk.svg
    dbt-flow plan --base main
    """
    context = Context(replace(context.flags, project_dir=project_dir)) if project_dir else context
    _fit_together(dags, as_json, said)
    if said["base"]:
        from dbt_flow.cli.plan_base import plan_base  # loads dbt

        return plan_base(context, dags, said["base"], as_json, said["markdown"])
    chosen = load_dag(context.settings, dags[0])
    if said["resolved"]:
        return _resolved(chosen, as_json)
    return _plan(context, chosen, said, as_json)


def _fit_together(dags: tuple[str, ...], as_json: bool, said: Mapping[str, Any]) -> None:
    """:raises InputError: ``usage``: flags or DAGs that do not go together."""
    if said["base"]:
        beside = [name for name in ("resolved", "target", "compare_to", "steps") if said[name]]
        beside += ["graph"] * (said["graph"] is not None) + ["open"] * said["open_page"]
        if beside:
            flag = f"--{beside[0].replace('_', '-')}"
            raise InputError("usage", f"{flag} does not go with --base", hint=f"leave one of the two out: {flag}, --base")
        if as_json and said["markdown"]:
            raise InputError("usage", "--json and --markdown are two forms of one answer", hint="keep one of them")
        return
    if said["markdown"]:
        raise InputError("usage", "--markdown goes with --base", hint="write: dbt-flow plan --base main --markdown")
    if len(dags) != 1:
        hint = "name one DAG: dbt-flow plan DAG; or compare all of them: dbt-flow plan --base REV"
        raise InputError("usage", f"{'no DAG is' if not dags else 'several DAGs are'} named", hint=hint)


def _plan(context: Context, dag: Dag, said: Mapping[str, Any], as_json: bool) -> int:
    from dbt_flow.cli.plan_document import document, waiting_for
    from dbt_flow.cli.plan_graph import graph
    from dbt_flow.cli.plan_shown import show
    from dbt_flow.pipeline.forecast import forecast  # loads dbt
    from dbt_flow.pipeline.foreseen import foresee
    from dbt_flow.pipeline.job import Job, Options

    settings = context.settings
    job = Job.of(settings, dag, Options(target=said["target"], compare_to=said["compare_to"]))
    with progress("asking dbt for the project") as tell, ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(waiting_for, settings, dag)  # each ML flow is read in a process of its own
        found = forecast(job, tell)
        tell("looking who waits for it")
        others, problems = waiting.result()
    seen = foresee(job, found, datetime.now(timezone.utc))
    drawn = said["graph"] is not None or said["open_page"]
    if drawn:
        graph(settings, dag, found, seen, said["graph"], open_page=said["open_page"])
    if as_json:
        emit_json(document(dag, found, seen, others))
    elif not drawn:
        show(dag, found, seen, others, steps=said["steps"])
    report(problems, word="warning")
    return 0


def _resolved(dag: Dag, as_json: bool) -> int:
    """The keys that were written, with where each came from; then the defaults."""
    written, origins = dag.written, dag.origins
    keys = [key for key in type(dag).model_fields if key != "name"]
    if as_json:
        plain = {key: value for key, value in dag.model_dump(mode="json").items() if key != "name"}
        emit_json({"dag": dag.name, "keys": {key: {"value": plain[key], "from": origins.get(key, "default")} for key in keys}})
        return 0
    import yaml  # only for this

    for key in keys:
        if key in written:
            text = yaml.safe_dump({key: written[key]}, sort_keys=False, allow_unicode=True, width=100).rstrip("\n")
            first, *rest = text.splitlines()
            click.echo(f"{first}  # {origins.get(key, dag.file)}")
            for line in rest:
                click.echo(line)
    click.echo(f"# defaults: {', '.join(key for key in keys if key not in written)}")
    return 0
