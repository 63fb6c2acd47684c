"""``dbt-flow artifacts``: dbt's own files of a run, for whatever reads them."""

from __future__ import annotations

from pathlib import Path

import click

from dbt_flow.cli.finding import find, settled
from dbt_flow.cli.terminal import RUN, Context
from dbt_flow.errors import StateError


@click.command("artifacts", short_help="Fetch dbt's artifacts of a run.")
@click.argument("run", metavar="DAG|RUN", type=RUN)
@click.option("--to", "folder", metavar="DIR", default=".", show_default=True, help="The folder to write them to.")
@click.option("--target", metavar="NAME", help="Of the runs on this dbt target only.")
@click.pass_obj
def command(context: Context, run: str, folder: str, target: str | None) -> int:
    """Write manifest.json and run_results.json of a run, as dbt wrote them, into a folder.

    With `require_fresh` also sources.json. The results of several attempts are merged. A run that died has entries for every
    node that it planned.
    """
    record = find(context.settings, run, target)
    settled(record)
    kept = record.get("artifacts.json") or {}
    found = {name: record.store.get(f"{record.ref.folder}/{name}") for name in ("run_results.json", "sources.json")}
    if "manifest" in kept:
        found["manifest.json"] = record.store.get(f"manifests/{kept['manifest']}.json")
    there = {name: value for name, value in found.items() if value is not None}
    if not there:
        click.echo(f"{run} left no artifacts: it ended before dbt began", err=True)
        return 1
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, value in sorted(there.items()):
            (Path(folder) / name).write_bytes(value)
            click.echo(str(Path(folder) / name))
    except OSError as error:
        hint = "name another folder: --to DIR"
        raise StateError("disk-full", f"cannot write into {folder}: {error.strerror}", hint=hint) from None
    return 0
