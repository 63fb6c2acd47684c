"""``dbt-flow deploy``: plan, apply, drift, destroy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from dbt_flow.cli.terminal import Context
from dbt_flow.errors import InputError
from dbt_flow.settings import Settings
from dbt_flow.yamlfile import did_you_mean

_TO = click.option("--to", "target", metavar="SCHEDULER", help="argo, step-functions or local (what dbt-flow serve runs).")
_BRANCH = click.option("--branch", metavar="NAME", help="A branch of the Metaflow project. [production]")
_YES = click.option("--yes", "-y", is_flag=True, help="Remove without asking.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")


@click.group("deploy", short_help="Deploy DAGs and ML flows to a scheduler.")
def command() -> None:
    """Deploy DAGs and ML flows to Argo Workflows or AWS Step Functions, and only what has changed.

    \b
    dbt-flow deploy plan --to argo
    dbt-flow deploy apply --to argo
    dbt-flow deploy plan --to argo --out plan.json     then, reviewed:
    dbt-flow deploy apply plan.json
    """


@command.command("plan")
@_TO
@_BRANCH
@click.option("--out", metavar="FILE", type=click.Path(dir_okay=False), help="Save the plan, for apply.")
@click.option("--exit-code", "exit_code", is_flag=True, help="Exit with 1 when there is something to do.")
@_JSON
@click.pass_obj
def plan(context: Context, /, out: str | None, exit_code: bool, as_json: bool, **where: str | None) -> int:
    """Show what apply would do with each flow, and why. Nothing is changed.

    Exit codes: 0 the plan is good; 1 with --exit-code, when there is something to do; 2 it cannot be applied.
    """
    from dbt_flow.cli import deploying
    from dbt_flow.deploy.planning import make_plan

    settings = context.settings
    scheduler, ledger = _opened(settings, where["target"], where["branch"])
    with deploying.progress() as phase:
        made = make_plan(settings, scheduler, ledger, phase)
    document = made.to_dict()
    if out and not made.errors:
        _write(Path(out), document)
    deploying.show_plan(made, document, as_json)
    if made.errors:
        return max(error.exit_code for error in made.errors)
    return int(exit_code and bool(made.changes))


@command.command("apply")
@click.argument("planfile", metavar="[PLANFILE]", required=False, type=click.Path(dir_okay=False))
@_TO
@_BRANCH
@_YES
@_JSON
@click.pass_obj
def apply(context: Context, /, planfile: str | None, yes: bool, as_json: bool, **where: str | None) -> int:
    """Do what plan shows, one flow at a time. With PLANFILE: exactly that, or nothing when the world has moved since.

    It may be interrupted anywhere, and run again: what is done is not done twice. Removing asks, or wants --yes.

    Exit codes: 0 all is as wanted; 1 a flow could not be deployed; 2 nothing was done.
    """
    from dbt_flow.cli import deploying
    from dbt_flow.deploy.applying import Applying

    saved = _saved(planfile, where) if planfile else None
    settings = context.settings
    if saved is not None and saved["project"] != settings.project:
        message = f"this plan is of the project {saved['project']}, and this is {settings.project}"
        raise InputError("usage", message, hint="plan again, here")
    target, branch = (saved["scheduler"], saved["branch"]) if saved else (where["target"], where["branch"])
    scheduler, ledger = _opened(settings, target, branch)
    with deploying.progress() as phase:
        applying = Applying(settings, scheduler, ledger, phase)
        made, done = applying.run(saved, _agreed(phase, yes), phase.told)
    return deploying.show_done(made, done, as_json)


@command.command("drift")
@_TO
@_BRANCH
@_JSON
@click.pass_obj
def drift(context: Context, /, as_json: bool, **where: str | None) -> int:
    """Show what is not as it was applied: read from the scheduler itself, without files and dbt.

    Exit codes: 0 nothing; 1 a flow was deleted, changed by hand or half-made; 2 the scheduler cannot be read.
    """
    from dbt_flow.cli import deploying
    from dbt_flow.deploy.drifting import drift

    scheduler, ledger = _opened(context.settings, where["target"], where["branch"])
    with deploying.progress() as phase:
        found = drift(scheduler, ledger, phase)
    return deploying.show_drift(found, scheduler, ledger.space, as_json)


@command.command("destroy")
@click.argument("names", nargs=-1, metavar="[DAG|FLOW]...")
@_TO
@_BRANCH
@_YES
@_JSON
@click.pass_obj
def destroy(context: Context, /, names: tuple[str, ...], yes: bool, as_json: bool, **where: str | None) -> int:
    """Remove what dbt-flow has deployed: these DAGs and flows, or all of them. Asks, or wants --yes. Data and runs stay."""
    from dbt_flow.cli import deploying
    from dbt_flow.deploy.applying import Applying

    settings = context.settings
    scheduler, ledger = _opened(settings, where["target"], where["branch"])
    with deploying.progress() as phase:
        applying = Applying(settings, scheduler, ledger, phase)
        made, done = applying.destroy(frozenset(names), _agreed(phase, yes), phase.told)
    return deploying.show_done(made, done, as_json)


def _opened(settings: Settings, target: str | None, branch: str | None) -> tuple[Any, Any]:
    """The scheduler, and the ledger of what was applied to it."""
    from dbt_flow.deploy.ledger import Ledger
    from dbt_flow.deploy.nouns import Space
    from dbt_flow.deploy.schedulers import TARGETS, scheduler_for
    from dbt_flow.state.places import store_of

    if target is None or target not in TARGETS:
        near = did_you_mean(target, TARGETS) if target else None
        hint = f"did you mean --to {near}?" if near else f"say --to {', --to '.join(TARGETS)}"
        raise InputError("usage", f"no scheduler is named {target}" if target else "deploy where?", hint=hint)
    if branch is not None and not (branch.replace("_", "").isalnum() and branch.isascii() and branch == branch.lower()):
        raise InputError("usage", f"--branch {branch}: Metaflow takes a-z, 0-9 and _", hint="write it so")
    return scheduler_for(target, settings), Ledger(store_of(settings), target, Space(settings.project, branch))


def _agreed(phase: Any, yes: bool) -> Callable[[Any], None]:
    """What is asked before anything is removed."""

    def agreed(plan: Any) -> None:
        phase.expect(len(plan.changes))
        names = [action.name for action in plan.of("remove")]
        if names and not yes:
            phase.ask(f"remove {', '.join(names)} from {plan.scheduler}, {plan.space.name}?")

    return agreed


def _saved(planfile: str, where: Mapping[str, str | None]) -> dict[str, Any]:
    """A saved plan."""
    from dbt_flow.records import check_version

    if where["target"] or where["branch"]:
        raise InputError("usage", "a saved plan says itself where to", hint="leave --to and --branch out")
    try:
        document = json.loads(Path(planfile).read_text(encoding="utf-8"))
        complete = isinstance(document, dict) and {"scheduler", "project", "branch", "flows", "fingerprint"} <= set(document)
    except (OSError, ValueError) as error:
        hint = "make one with: dbt-flow deploy plan --to argo --out FILE"
        raise InputError("unreadable", f"{planfile} is no saved plan: {error}", hint=hint) from None
    if not complete:
        hint = "make one with: dbt-flow deploy plan --to argo --out FILE"
        raise InputError("unreadable", f"{planfile} is no saved plan", hint=hint)
    check_version(document, planfile)
    return dict(document)


def _write(file: Path, document: Mapping[str, Any]) -> None:
    try:
        file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        hint = "name a file in a folder that is there"
        raise InputError("unreadable", f"{file} cannot be written: {error.strerror}", hint=hint) from None
