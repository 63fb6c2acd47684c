"""``dbt-flow card``: the card of a run, opened or written to a file."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path

import click

from dbt_flow.cli.finding import find, settled
from dbt_flow.cli.terminal import RUN, Context
from dbt_flow.errors import DbtFlowError, InputError, StateError


@click.command("card", short_help="Show the card of a run.")
@click.argument("run", metavar="DAG|RUN", type=RUN)
@click.option("--out", metavar="FILE", help="Write the card there instead of opening it; - for stdout.")
@click.option("--target", metavar="NAME", help="Of the runs on this dbt target only.")
@click.option("--again", is_flag=True, help="Make the page anew from the run's record, with what is known by now.")
@click.pass_obj
def command(context: Context, run: str, out: str | None, target: str | None, again: bool) -> int:
    """Show the card of a run: a DAG's last one, or a run such as CarrierRisk/123.

    On a screen it is opened in the browser; elsewhere its path is printed. The card of a run that died, or whose page
    is gone, is made from what the run had recorded.
    """
    settings = context.settings
    record = find(settings, run, target)
    with suppress(DbtFlowError):  # damage in its record is told by the card itself
        settled(record)
    html = None if again else record.get_text("card.html")
    if html is None:
        from dbt_flow.pipeline.card_again import card_again  # only when the page is not there

        html = card_again(record)
    if html is None:
        raise InputError("unknown-run", f"{run} has no card yet", hint="it is still being planned; try again in a moment")
    if out == "-":
        click.echo(html)
        return 0
    if out is not None:
        try:
            Path(out).write_text(html, encoding="utf-8")
        except OSError as error:
            raise StateError("disk-full", f"cannot write {out}: {error.strerror}", hint="name another file") from None
        click.echo(out)
        return 0
    path = settings.state / record.ref.folder / "card.html"
    if settings.bucket:  # a browser needs a file
        record.store.local.put(f"{record.ref.folder}/card.html", html.encode("utf-8", "replace"))
    click.echo(settings.shown(path))
    if sys.stdout.isatty() and (os.environ.get("DISPLAY") or sys.platform == "darwin" or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(path.as_uri())
    return 0
