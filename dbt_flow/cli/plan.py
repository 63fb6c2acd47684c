"""``dbt-flow plan``: what a run would do, without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import click

from dbt_flow.cli.terminal import DAG, Context, console, emit_json
from dbt_flow.errors import InputError
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag, clock_warnings, load_dag, next_starts

_SHOWN = 200  # steps that the text shows


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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, /, dags: tuple[str, ...], project_dir: str | None, as_json: bool, **said: Any) -> int:
    """Show what a run of a DAG would do: every node with the reason, in steps, and what is missing for it on the target.

    dbt is asked for the project and the selection; nothing is built. With --base, show what a change does to all DAGs: the work
    tree as it is against a revision of git.

    \b
    dbt-flow plan carrier_risk
    dbt-flow plan --base main
    """
    context = Context(replace(context.flags, project_dir=project_dir)) if project_dir else context
    _fit_together(dags, as_json, said)
    if said["base"]:
        from dbt_flow.cli.plan_base import plan_base  # loads dbt

        return plan_base(context, dags, said["base"], as_json, said["markdown"])
    settings = context.settings
    chosen = load_dag(settings, dags[0])
    if said["resolved"]:
        return _resolved(chosen, as_json)
    return _plan(settings, chosen, said, as_json)


def _fit_together(dags: tuple[str, ...], as_json: bool, said: Mapping[str, Any]) -> None:
    """:raises InputError: ``usage``: flags or DAGs that do not go together."""
    if said["base"]:
        beside = [name for name in ("resolved", "target", "compare_to") if said[name]]
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


def _plan(settings: Settings, dag: Dag, said: Mapping[str, Any], as_json: bool) -> int:
    from dbt_flow.pipeline.forecast import forecast  # loads dbt
    from dbt_flow.pipeline.job import Job, Options

    job = Job.of(settings, dag, Options(target=said["target"], compare_to=said["compare_to"]))
    with console().status("asking dbt for the project") as status:
        found = forecast(job, status.update)
    plan = found.plan
    if as_json:
        types = {node.id: node.type for node in plan.nodes}
        emit_json(
            {
                "dag": dag.name,
                "target": plan.target,
                "nodes": [
                    {"id": item.id, "type": types[item.id], "decision": item.decision, "reason": item.reason}
                    for item in found.decisions
                ],
                "flow": None
                if found.isolation is None
                else [
                    {
                        "name": step.name,
                        "kind": step.kind,
                        "builds": list(found.isolation.nodes.get(step.name, ())),
                        "next": list(step.next),
                        "resources": _needs(found.isolation, step.name),
                    }
                    for step in found.isolation.steps
                ],
                "steps": [{"name": step.name, "nodes": list(step.nodes), "needs": list(step.needs)} for step in plan.steps],
                "missing": [{"id": node, "built_by": found.builders.get(node)} for node in found.missing],
                "notes": list(found.notes),
            }
        )
        return 0
    _show(dag, found)
    return 0


def _show(dag: Dag, found: Any) -> None:
    from rich import box  # only for people
    from rich.table import Table
    from rich.text import Text

    plan, screen = found.plan, console(stdout=True)
    kinds = Counter(node.type.replace("_", " ") for node in plan.nodes)
    counted = ", ".join(f"{number} {kind}{'s' if number > 1 else ''}" for kind, number in kinds.most_common())
    screen.print(Text(f"{dag.name} on {plan.target} ({plan.adapter}): {counted}", style="bold"))
    if plan.inlined:
        screen.print(Text(f"ephemeral, inlined: {', '.join(node.name for node in plan.inlined)}", style="dim"))
    screen.print(f"starts {dag.trigger.text}; owner {dag.owner}")
    now = datetime.now(timezone.utc)
    for start in next_starts(dag, now, 3):
        screen.print(Text(f"  next: {start}"))
    for warning in clock_warnings(dag, now):
        screen.print(Text(f"warning: {warning}", style="yellow"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("step", "type", "tests", "needs"):
        table.add_column(column, overflow="fold")
    for step in plan.steps[:_SHOWN]:
        nodes = [plan.by_id[node] for node in step.nodes]
        body = next((node for node in nodes if not node.is_test), nodes[0])
        kind = body.materialized if body.type == "model" and body.materialized else body.type
        tests = sum(node.is_test for node in nodes)
        table.add_row(Text(step.name), Text(kind), str(tests or ""), Text(", ".join(step.needs)))
    screen.print(table)
    if len(plan.steps) > _SHOWN:
        screen.print(f"and {len(plan.steps) - _SHOWN} more steps; --json has them all")
    if found.isolation is not None:
        screen.print(_waves(found.isolation))
        screen.print(Text(found.costs, style="dim"))
    if any(item.decision != "run" for item in found.decisions):
        screen.print(_decided(found))
    for note in found.notes:
        screen.print(Text(note, style="yellow"))


def _waves(shape: Any) -> Any:
    """The Metaflow flow of a DAG with isolated steps, wave by wave."""
    from rich import box  # only for people
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("Metaflow step", "builds", "resources", "then"):
        table.add_column(column, overflow="fold")
    words = {"warm": "what needs no step of its own", "pass": "nothing: it waits, or splits"}
    for step in shape.steps:
        said = _needs(shape, step.name)
        needs = ", ".join([f"{said['memory']} MB"] * ("memory" in said) + [f"{said['cpu']} cpu"] * ("cpu" in said))
        builds = words.get(step.kind) or f"{step.step} with {len(shape.nodes[step.name]) - 1} tests"
        table.add_row(Text(step.name), Text(builds), Text(needs), Text(", ".join(step.next)))
    return table


def _needs(shape: Any, step: str) -> dict[str, Any]:
    """What a step asks of its machine; memory is in MB, as Metaflow has it."""
    found = shape.needs.get(step)
    return dict(found.arguments) if found else {}


def _decided(found: Any) -> Any:
    """What a run would do with each node, and why."""
    from rich import box  # only for people
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("node", "decision", "reason"):
        table.add_column(column, overflow="fold")
    for item in found.decisions[:_SHOWN]:
        table.add_row(Text(found.plan.by_id[item.id].name), item.decision, Text(item.reason))
    return table


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
