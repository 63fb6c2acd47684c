"""``dbt-flow lint``: what is wrong between the DAGs of a fleet, dbt and the past. One parse; nothing is built."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from dbt_flow.cli.progress import progress
from dbt_flow.cli.terminal import Context, emit_json, report
from dbt_flow.report.words import count
from dbt_flow.settings import Settings
from dbt_flow.spec import Fleet, load_fleet

if TYPE_CHECKING:
    from dbt_flow.pipeline.lint_fix import Fixed
    from dbt_flow.pipeline.linting import Linted, Linter, Listeners
    from dbt_flow.plan.lint.found import Finding

_SHOWN = 50  # findings of one code in one file that the text shows
_ROUNDS = 9  # of mending: what one makes idle, the next takes away


@click.command("lint", short_help="Check the whole fleet.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.option("--fix", is_flag=True, help="Mend in YAML files what is safe to mend: docs/lint.md says what that is.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, and change nothing.")
@click.option("--rules", is_flag=True, help="Show the rules and why each is there, and end.")
@click.pass_obj
def command(context: Context, as_json: bool, fix: bool, diff: bool, rules: bool) -> int:
    """Check all DAGs together: tables in no DAG or in two, reading without waiting, schedules, owners, tests that never run.

    dbt parses the project once and selects for each DAG; no warehouse is asked, and nothing is built. The exit code is 1 when
    there is a finding, 2 when something cannot be read, 0 otherwise. A finding that is meant is silenced, with a reason.
    """
    if rules:
        return _rules(as_json)
    settings = context.settings
    fleet = load_fleet(settings)
    from dbt_flow.pipeline.linting import Linter  # loads dbt

    with progress("reading the DAG files") as phase:
        if settings.flows:
            phase("reading the ML flows")
        linter = Linter(settings, datetime.now(timezone.utc), phase)
        linted = linter.lint(fleet, _listeners(settings, fleet))
        fixed = _fixed(linter, linted, write=fix and not diff) if fix or diff else None
        if fixed is not None and fix and not diff:
            linted = fixed[-1][1]
    _show(linted, as_json, [one for one, _ in fixed or ()], diff)
    return 2 if linted.errors else 1 if linted.findings else 0


def _fixed(linter: Linter, linted: Linted, *, write: bool) -> list[tuple[Fixed, Linted]]:
    """Mend until there is nothing left to mend, so that a second call changes nothing; each with how it is then."""
    from dbt_flow.pipeline.lint_fix import fix

    rounds = []
    while True:
        fixed = fix(linter.settings, linted, write=write)
        if write and fixed.made:
            fleet = load_fleet(linter.settings)
            linted = linter.lint(fleet, _listeners(linter.settings, fleet))
        rounds.append((fixed, linted))
        if not write or not fixed.made or len(rounds) == _ROUNDS:
            return rounds


def _listeners(settings: Settings, fleet: Fleet) -> Listeners:
    """Who among the ML flows waits for whom, and what is wrong with their files and triggers."""
    from dbt_flow.pipeline.linting import Listeners
    from dbt_flow.plan.lint.landscape import Waiter

    if not settings.flows:
        return Listeners()
    from dbt_flow.serve.flow_reading import Reader  # reads ML flows, each in a process of its own

    listening = Reader(settings).read()
    told = {str(error) for error in fleet.errors}
    problems = [problem for problem in listening.problems if str(problem) not in told]
    named = {dag.flow_name: dag.name for dag in (*fleet.dags, *fleet.misfits)}
    waiters = []
    for one in listening.subscribers:
        if one.kind == "flow":
            # A flow that names tables waits for whoever builds them; which DAGs these are, nobody knows before they ran.
            said = () if one.needs is not None and not one.needs.dags else one.waits
            waits = tuple(named.get(wait.flow, wait.flow) for wait in said if wait.kind == "run")
            waiters.append(Waiter(one.name, waits, one.rule.any, one.schedule, one.zone))
    deaf = tuple(problem for problem in problems if problem.code == "never-fires")
    return Listeners(tuple(waiters), deaf, tuple(problem for problem in problems if problem.code != "never-fires"))


def _show(linted: Linted, as_json: bool, rounds: list[Fixed], diff: bool) -> None:
    findings = linted.findings
    made = [mend for fixed in rounds for mend in fixed.made]
    for line in rounds[-1].diff() if diff else ():
        click.echo(line, err=as_json)
    if as_json:
        document: dict[str, Any] = {"findings": [finding.to_dict() for finding in findings]}
        if linted.errors:
            document["errors"] = [error.to_dict() for error in linted.errors]
        if rounds and not diff:
            document["fixed"] = [{"file": mend.file, "what": mend.what} for mend in made]
        emit_json(document)
        report(linted.errors)
    else:
        report(linted.errors, stdout=True)
        for mend in made:
            click.echo(f"{'would mend' if diff else 'mended'} {mend.file}: {mend.what}")
        if made:
            click.echo()
        for file, group in groupby(findings, key=lambda finding: finding.file):
            _file(file, list(group))
    for note in (*linted.notes, *(rounds[-1].left if rounds else ())):
        click.echo(note, err=True)
    if not as_json:
        _end(linted, bool(rounds))


def _file(file: str | None, findings: list[Finding]) -> None:
    """One file's findings, in the width of the window."""
    from rich.table import Table
    from rich.text import Text

    screen = _screen()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.code] += 1
        if seen[finding.code] > _SHOWN:
            continue
        style = "red" if finding.severity == "error" else "yellow"
        told = Text.assemble(finding.message, ("\n-> " + finding.fix, "cyan"))
        table.add_row(Text(str(finding.line or "-"), style="dim"), Text(finding.code, style=style), told)
    screen.print(Text(file or "the fleet", style="bold"))
    screen.print(table)
    for code, number in seen.items():
        if number > _SHOWN:
            screen.print(Text(f"and {number - _SHOWN} more {code}; --json has them all", style="dim"))
    screen.print()


def _screen() -> Any:
    """Stdout, where lines are folded to the window: :func:`~.terminal.console` leaves that to the terminal."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


def _end(linted: Linted, mended: bool) -> None:
    """The count, and what to type next."""
    from rich.text import Text

    kinds = Counter(finding.severity for finding in linted.findings)
    dags = count(len(linted.land.dags), "DAG")
    if not linted.findings:
        click.echo(f"{dags}, {count(len(linted.errors), 'error')}" if linted.errors else f"{dags}, no findings")
        return
    parts = ", ".join(count(number, severity) for severity, number in sorted(kinds.items()))
    files = count(len({finding.file for finding in linted.findings}), "file")
    screen = _screen()
    screen.print(Text(f"{dags}: {count(len(linted.findings), 'finding')} ({parts}) in {files}"))
    following = (
        "mend them, or say with a reason that they are meant" if mended else "dbt-flow lint --diff, for what --fix mends"
    )
    screen.print(Text(f"Next: {following}; dbt-flow lint --rules says why each rule is there"))


def _rules(as_json: bool) -> int:
    from dbt_flow.plan.lint.rulebook import RULES

    if as_json:
        keys = ("code", "severity", "why", "example")
        emit_json({"rules": [{key: getattr(rule, key) for key in keys} for rule in RULES.values()]})
        return 0
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("code", "severity", "why"):
        table.add_column(column, overflow="fold", no_wrap=column == "code")
    for rule in RULES.values():
        table.add_row(rule.code, rule.severity, rule.why)
    _screen().print(table)
    return 0
