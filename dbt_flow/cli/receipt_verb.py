"""``dbt-flow receipt``: which code on which data made which tables, checked against its digest."""

from __future__ import annotations

import click

from dbt_flow.cli.finding import find, settled
from dbt_flow.cli.terminal import RUN, Context, emit_json
from dbt_flow.pipeline.receipt import Receipt, receipt_of
from dbt_flow.records import TEST_TYPES


@click.command("receipt", short_help="Show a run's receipt.")
@click.argument("run", metavar="DAG|RUN", type=RUN)
@click.option("--target", metavar="NAME", help="Of the runs on this dbt target only.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as one JSON document on stdout.")
@click.pass_obj
def command(context: Context, run: str, target: str | None, as_json: bool) -> int:
    """Show the receipt of a run: code, tables with their rows, tests, what it read of other runs, and a digest of it all.

    The digest is checked: a receipt that was changed afterwards is refused.
    """
    record = find(context.settings, run, target)
    settled(record)
    receipt = receipt_of(record)
    if receipt is None:
        click.echo(f"{run} goes on: there is a receipt when it has ended", err=True)
        return 1
    if as_json:
        emit_json(receipt)
        return 0
    _show(receipt)
    return 0


def _show(receipt: Receipt) -> None:
    facts = {
        "run": f"{receipt['run']}  {receipt['status']}",
        "target": receipt["target"],
        "ended": receipt["finished"],
        "trigger": receipt["trigger"],
        "follows": receipt["follows"],
        "git": receipt["git"],
        "manifest": receipt["manifest"],
        "plan": receipt["plan"],
        "digest": receipt["digest"],
        "without": ", ".join(receipt["missing"]),
    }
    for name, value in facts.items():
        if value:
            click.echo(f"{name:9} {value}")
    tests = [item for item in receipt["nodes"] if item["tests"] or item["type"] in TEST_TYPES]
    good = sum(1 for item in tests if item["was"] == "pass")
    click.echo(f"tests     {good} of {len(tests)} pass")
    for item in tests:
        if item["was"] != "pass":
            click.echo(f"          {item['name']} {'failed, and only warns' if item['softened'] else item['was']}")
    tables = [item for item in receipt["nodes"] if item["relation"] and item not in tests]
    width = max((len(item["name"]) for item in (*tables, *receipt["inputs"])), default=0)
    for item in tables:
        rows = "" if item["rows"] is None else f"{item['rows']:,}"
        click.echo(f"{'table':9} {item['name']:{width}}  {item['status']:8} {rows:>12}  {_built(item, receipt)}")
    for item in receipt["inputs"]:
        click.echo(f"{'read':9} {item['name']:{width}}  {'':8} {'':>12}  {_built(item, receipt)}")


def _built(item: Receipt, receipt: Receipt) -> str:
    by = "" if item["built_in"] == receipt["run"] else f" by {item['built_in']}"
    return f"built {str(item['built'] or '')[:19].replace('T', ' ')}{by}"
