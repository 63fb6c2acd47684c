"""``dbt-flow new``: a further DAG, from what the project itself suggests; asked for on a terminal, by flags elsewhere."""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbt_flow.cli.completing import SELECTION, SELECTOR
from dbt_flow.cli.first_files import dag_text, shown, write_new, write_schema
from dbt_flow.cli.init import user
from dbt_flow.cli.terminal import DAG, Context, console, emit_json
from dbt_flow.errors import DbtFlowError, InputError, Refusals, flatten
from dbt_flow.settings import Settings
from dbt_flow.spec.schema import FILE as SCHEMA_FILE

if TYPE_CHECKING:
    from dbt_flow.pipeline.proposing import Desk, Offer
    from dbt_flow.plan.planned import Plan

_SHOWN = 25  # proposals that the text shows


@click.command("new", short_help="Make a further DAG.")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--select", "-s", multiple=True, metavar="SELECTION", type=SELECTION, help="What it builds: dbt's own --select.")
@click.option("--exclude", multiple=True, metavar="SELECTION", type=SELECTION, help="What of it not: dbt's own --exclude.")
@click.option("--selector", metavar="NAME", type=SELECTOR, help="What it builds: an entry of selectors.yml.")
@click.option("--owner", metavar="TEAM", help="The team that owns it. [the only team, or your user name]")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--schedule", metavar="CRON", help="Start it by the clock, such as '0 6 * * *'.")
@click.option("--timezone", metavar="ZONE", help="The time zone of every time in it. [UTC]")
@click.option(
    "--after", multiple=True, metavar="DAG", type=DAG, help="Start it when that DAG is good; may be repeated: all of them."
)
@click.option("--event", metavar="NAME", help="Start it when that event comes.")
@click.option("--done-by", metavar="TIME", help='The time of day by which it must be good, such as "07:00".')
@click.option("--dry-run", is_flag=True, help="Show the file; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, /, name: str | None, as_json: bool, dry_run: bool, **said: Any) -> int:
    """Write a DAG file, checked with dbt before it is there: what it selects, and that it is good.

    Without a selection it shows what the project suggests (its tags, folders, groups and selectors) with how much of each dbt
    takes and how much no DAG builds yet; on a terminal it then asks. A file that is there is never written over.

    \b
    dbt-flow new
    dbt-flow new fuel --select tag:fuel --owner carrier-data --after carrier_reference
    """
    from dbt_flow.pipeline.proposing import desk  # loads dbt

    settings = context.settings
    one_start(said)
    chosen = bool(said["select"] or said["selector"] or said["exclude"])
    if chosen or not _a_person():
        _early(settings, name, said, chosen=chosen)
    with console().status("asking dbt for the project") as status:
        found = desk(settings, status.update)
        offers = () if chosen else found.offers(status.update)
    if not chosen:
        if as_json or not _a_person():
            return _suggest(offers, as_json, wanted=bool(name))
        name, said = ask(settings, offers, name, said)
    if name is None:
        name = _name_of((said["select"] or (said["selector"] or "",))[0])
    return _write(found, name, _keys(settings, said), dry_run=dry_run, as_json=as_json)


def one_start(said: dict[str, Any]) -> None:
    """:raises InputError: two things that would start the DAG, or a selector beside other selections."""
    starts = [f"--{key}" for key in ("schedule", "after", "event") if said[key]]
    if len(starts) > 1:
        raise InputError("usage", f"{' and '.join(starts)}: one thing starts a DAG", hint="keep one of them")
    if said["selector"] and (said["select"] or said["exclude"]):
        raise InputError("usage", "--selector goes alone", hint="leave --select and --exclude out, or --selector")


def _early(settings: Settings, name: str | None, said: dict[str, Any], *, chosen: bool) -> None:
    """What can be told before dbt is asked.

    :raises InputError: nobody knows whose it is to be, or the DAG is there.
    """
    if chosen and len(settings.owners) > 1 and not said["owner"]:
        raise InputError("usage", "whose is it?", hint=f"say --owner TEAM: {', '.join(settings.owners)}")
    if name is not None:
        _free(settings, name)


def _free(settings: Settings, name: str) -> Path:
    path = settings.dags / f"{name}.yaml"
    if path.exists():
        hint = f"choose another name, or change the file: {settings.shown(path)}"
        raise InputError("bad-name", f"the DAG {name} is there already", hint=hint)
    return path


def _a_person() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _write(found: Desk, name: str, keys: dict[str, Any], *, dry_run: bool, as_json: bool) -> int:
    """Write the file, once it is good.

    :raises DbtFlowError: it is there already, or not good, or selects nothing.
    """
    settings = found.settings
    path = _free(settings, name)
    text = dag_text(keys, "../" * (len(Path(name).parts) - 1) + SCHEMA_FILE)
    plan = _checked(found, path, text)
    if not dry_run and not write_new(path, text):
        raise InputError("bad-name", f"{settings.shown(path)} is there already", hint="choose another name")
    if not dry_run:
        write_schema(settings.dags)
    tests = sum(node.is_test for node in plan.nodes)
    if as_json:
        counts = {"models": len(plan.nodes) - tests, "tests": tests}
        emit_json({"dag": path.stem, "file": settings.shown(path), "written": not dry_run, **counts, "text": text})
        return 0
    click.echo(text, nl=False) if dry_run else click.echo(f"wrote {shown(path)}")
    click.echo(f"{path.stem}: {len(plan.nodes) - tests} models, {tests} tests", err=dry_run)
    if not dry_run:
        click.echo(f"Next: dbt-flow plan {path.stem}, then dbt-flow run {path.stem}")
    return 0


def _checked(found: Desk, path: Path, text: str) -> Plan:
    """The plan of a file that is not there yet: a draft of it is read elsewhere, and errors bear the place it will have."""
    from dbt_flow.spec import load_dag

    with tempfile.TemporaryDirectory(prefix="dbt-flow-new-") as folder:
        draft = Path(folder) / path.name
        draft.write_text(text, encoding="utf-8")
        try:
            return found.check(load_dag(found.settings, str(draft))).plan
        except DbtFlowError as error:
            there = found.settings.shown(path)
            moved: list[DbtFlowError] = []
            for one in flatten(error):
                at = replace(one.place, file=there) if one.place and one.place.file.endswith(path.name) else one.place
                moved.append(type(one)(one.code, one.message, place=at, hint=one.hint))
            raise moved[0] if len(moved) == 1 else Refusals(moved) from None


def _keys(settings: Settings, said: dict[str, Any]) -> dict[str, Any]:
    """The file's keys, in the order in which they are read."""
    after = list(said["after"])
    trigger: dict[str, Any] = {}
    if said["schedule"]:
        trigger = {"schedule": said["schedule"]}
    elif after:
        trigger = {"after": after[0] if len(after) == 1 else after}
    elif said["event"]:
        trigger = {"event": said["event"]}
    teams = list(settings.owners)
    return {
        "owner": said["owner"] or (teams[0] if len(teams) == 1 else user()),
        "description": said["description"],
        "timezone": said["timezone"],
        "trigger": trigger,
        "select": _one_or_all(said["select"]),
        "exclude": _one_or_all(said["exclude"]),
        "selector": said["selector"],
        "done_by": said["done_by"],
    }


def _one_or_all(words: Any) -> Any:
    return words[0] if len(words) == 1 else list(words)


def _name_of(selection: str) -> str:
    """A DAG's name for a selection: ``tag:fuel`` is fuel, ``path:models/marts/risk`` is risk."""
    words = re.split(r"[^a-z0-9]+", re.split(r"[:/]", selection)[-1].lower())
    name = "_".join(word for word in words if word)
    return name if name[:1].isalpha() else f"dag_{name}".rstrip("_")


# ---- proposals


def _suggest(offers: tuple[Offer, ...], as_json: bool, *, wanted: bool) -> int:
    """Show what the project suggests.

    :raises InputError: a DAG was wanted, and nobody is there to ask.
    """
    if as_json and not wanted:
        rows = [{"kind": o.proposal.kind, o.proposal.key: o.proposal.value, "models": o.proposal.models} for o in offers]
        more = [{"tests": o.proposal.tests, "in_no_dag": o.free, "name": _name_of(o.proposal.value)} for o in offers]
        emit_json({"proposals": [{**row, **rest} for row, rest in zip(rows, more, strict=True)]})
        return 0
    if wanted:
        likely = offers[1 if len(offers) > 1 else 0].proposal.flag if offers else "--select '*'"
        hint = f"say it: --select SELECTION, such as {likely}; dbt-flow new shows what the project suggests"
        raise InputError("usage", "what should it build?", hint=hint)
    _table(offers)
    click.echo("To make one: dbt-flow new NAME --select SELECTION")
    return 0


def _table(offers: tuple[Offer, ...]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, side in (
        ("", "right"),
        ("selection", "left"),
        ("models", "right"),
        ("tests", "right"),
        ("in no DAG yet", "right"),
    ):
        table.add_column(column, justify=side, overflow="fold")  # type: ignore[arg-type]
    for number, offer in enumerate(offers[:_SHOWN], start=1):
        one = offer.proposal
        label = one.value if one.key == "select" else f"selector {one.value}"
        free = Text(str(offer.free), style="green" if offer.free else "dim")
        table.add_row(str(number), label, str(one.models), str(one.tests), free)
    console(stdout=True).print(table)
    if len(offers) > _SHOWN:
        click.echo(f"{len(offers) - _SHOWN} more: dbt-flow new --json")


def ask(settings: Settings, offers: tuple[Offer, ...], name: str | None, said: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a person at the keyboard answers: which selection, a name, an owner, what starts it.

    :raises click.Abort: Ctrl-C, or the end of input.
    """
    from dbt_flow.settings import dag_names

    _table(offers)
    best = max(range(len(offers)), key=lambda index: (index > 0, offers[index].free), default=0) + 1
    word = str(click.prompt("What should it build? A number, or a selection of dbt's", default=str(best))).strip()
    said = dict(said)
    proposed = ""
    if word.isdigit() and 1 <= int(word) <= len(offers):
        one = offers[int(word) - 1].proposal
        said[one.key] = (one.value,) if one.key == "select" else one.value
        word, proposed = one.value, one.owner or ""
    else:
        said["select"] = (word,)
    there = dag_names(settings)
    free = _name_of(word)
    while free in there:
        free += "_2"
    name = name or str(click.prompt("Its name", default=free)).strip()
    teams = list(settings.owners)
    known = f" ({', '.join(teams)})" if teams else ""
    likely = proposed if proposed in teams or (proposed and not teams) else teams[0] if teams else user()
    said["owner"] = said["owner"] or str(click.prompt(f"Its owner{known}", default=likely)).strip()
    if not (said["schedule"] or said["after"] or said["event"]):
        said.update(_start(str(click.prompt(_START, default="by hand")).strip(), there))
    return name, said


_START = "What starts it? A DAG's name, a time such as 06:00, a cron expression, event NAME, or by hand"


def _start(word: str, dags: list[str]) -> dict[str, Any]:
    """What a person means by what starts a DAG."""
    time = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", word)
    if time:
        return {"schedule": f"{int(time[2])} {int(time[1])} * * *"}
    if word.startswith("event "):
        return {"event": word.removeprefix("event ").strip()}
    if len(word.split()) == 5 and not word.startswith("by "):
        return {"schedule": word}
    names = [part for part in re.split(r"[,\s]+", word) if part]
    if word in ("by hand", "none", "") or not names:
        return {}
    return {"after": tuple(names)} if set(names) & set(dags) or len(names) == 1 else {}
