"""``dbt-flow plan DAG --graph`` and ``--open``: the plan as a drawing."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dbt_flow.cli.plan_shown import counted
from dbt_flow.errors import InputError, StateError
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag

if TYPE_CHECKING:
    from dbt_flow.pipeline.forecast import Forecast
    from dbt_flow.pipeline.foreseen import Foreseen


def graph(settings: Settings, dag: Dag, found: Forecast, seen: Foreseen, said: str | None, *, open_page: bool) -> None:
    """Draw into the file that was named, else into ``DAG.svg`` here; a page that is only opened lies in the state folder.

    :raises DbtFlowError: the file's name is no drawing's, or it cannot be written
    """
    from dbt_flow.report.plan_drawing import drawn, page, svg

    path = Path(said) if said else Path(f"{dag.name}.svg")
    if said is None:
        path = settings.state / "graphs" / f"{dag.name}.html"
    if path.suffix not in (".svg", ".html") or (open_page and path.suffix != ".html"):
        wanted = "FILE.html" if open_page else "FILE.svg or FILE.html"
        hint = f"write: dbt-flow plan {dag.name} --graph {path.stem or dag.name}.{'html --open' if open_page else 'svg'}"
        raise InputError("usage", f"--graph {path}: {wanted} was expected", hint=hint)
    drawing = drawn(found.plan, found.decisions, seen.path)
    title = f"{dag.name} on {found.plan.target}"
    words = f"{counted(found.plan.nodes)}; starts {dag.trigger.text}; owner {dag.owner}"
    text = svg(drawing, title, words) if path.suffix == ".svg" else page(drawing, title, words, dag.description)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StateError("disk-full", f"cannot write {path}: {error.strerror}", hint="name another file") from None
    click.echo(str(path), err=True)
    if open_page:
        webbrowser.open(path.absolute().as_uri())
