"""``dbt-flow simulate``: what an event, an end or a time would start, when and why."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import click

from dbt_flow.cli.terminal import Context, emit_json, pair, report
from dbt_flow.errors import InputError
from dbt_flow.settings import Settings
from dbt_flow.yamlfile import did_you_mean


@click.command("simulate", short_help="Show what would start, when and why.")
@click.option("--event", "event", metavar="NAME", help="This event comes.")
@click.option("--field", "-f", "fields", multiple=True, metavar="NAME=VALUE", help="A field of its payload; repeatable.")
@click.option("--end", "end", metavar="DAG|FLOW", help="A run of this DAG or flow ends well.")
@click.option("--start", "start", metavar="DAG|FLOW", help="This DAG or flow is started.")
@click.option("--at", "at", metavar="TIME", help="From then on, with schedules: 2026-11-22T06:00, or 06:00.")
@click.option(
    "--hours", default=24.0, show_default=True, metavar="N", type=click.FloatRange(0, 24 * 31), help="How far to look."
)
@click.option("--fail", "failing", multiple=True, metavar="DAG|FLOW", help="Let this one fail; may be repeated.")
@click.option("--run", "really", is_flag=True, help="Really run what the event, end or start leads to.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_obj
def command(context: Context, /, **said: Any) -> int:
    """Show what an event, the end of a run, a start or a time would start: when, what and why, as a table.

    The decisions are those of dbt-flow serve. Runs are taken to last as long as their last good ones did, and to end well
    unless --fail names them. With --run it all really happens, and is remembered apart: nothing else starts from it.

    \b
    dbt-flow simulate --event carrier_files_landed
    dbt-flow simulate --at 2027-03-14T00:00 --hours 30
    """
    from dbt_flow.serve.flow_reading import Reader

    settings = context.settings
    listening = Reader(settings).read()
    report(listening.problems, word="warning")
    for name in (*said["failing"], said["end"], said["start"]):
        if name is not None and name not in listening.by_name:
            near = did_you_mean(name, listening.by_name)
            hint = f"did you mean {near}?" if near else f"there are: {', '.join(listening.by_name)}"
            raise InputError("unknown-dag", f"no DAG and no flow is named {name}", hint=hint)
    begin = _moment(said["at"])
    if not any(said[key] for key in ("event", "end", "start", "at")):
        raise InputError("usage", "what is to happen?", hint="say --event NAME, --end DAG, --start DAG or --at TIME")
    if said["really"]:
        return _really(settings, listening, said)
    rows = _imagined(settings, listening, said, begin)
    if as_json := said["as_json"]:
        emit_json({"rows": [{**vars(row), "at": datetime.fromtimestamp(row.at, timezone.utc).isoformat()} for row in rows]})
    else:
        click.echo(
            _table([(_clock(row.at), row.subscriber, row.what, row.why) for row in rows]) if rows else "nothing would start"
        )
    return 0 if rows or as_json else 1


def _imagined(settings: Settings, listening: Any, said: dict[str, Any], begin: float) -> list[Any]:
    from dbt_flow.serve.simulation import Simulation

    seconds = _durations(settings, listening.by_name)
    simulation = Simulation(listening, begin, seconds, said["failing"], schedules=said["at"] is not None)
    if said["event"]:
        simulation.event(said["event"], dict(pair(word, "--field") for word in said["fields"]))
    if said["end"]:
        simulation.end_of(said["end"])
    if said["start"]:
        simulation.start_of(said["start"])
    return simulation.until(begin + said["hours"] * 3600)


def _really(settings: Settings, listening: Any, said: dict[str, Any]) -> int:
    """Run it, with a state folder of its own."""
    from dbt_flow.serve.event import Event, make
    from dbt_flow.serve.outcomes import End, events_of
    from dbt_flow.serve.runtime import Options, Runtime
    from dbt_flow.serve.starter import MetaflowStarter

    folder = settings.state / "simulated"
    folder.mkdir(parents=True, exist_ok=True)
    apart = replace(settings, state=Path(tempfile.mkdtemp(dir=folder, prefix="run-")), bucket=None)
    if (settings.state / "parse").is_dir():
        (apart.state / "parse").symlink_to(settings.state / "parse")
    # Schedules go on in the real world; here only what the event, end or start leads to.
    still = type(listening)(tuple(replace(one, schedule=()) for one in listening.subscribers))
    runtime = Runtime(apart, MetaflowStarter(apart), Options(watch_files=False), say=lambda text: click.echo(text, err=True))
    runtime.listening = still
    runtime.open()
    now, events = time.time(), list[Event]()
    if said["event"]:
        events.append(make(said["event"], dict(pair(word, "--field") for word in said["fields"]), now, "cli"))
    if said["end"]:
        one = still.by_name[said["end"]]
        events += events_of(End(one.flow, "0", "success", now, f"{one.flow}/0/end/1", one.project, one.branch))
    with runtime.log.transaction():
        for event in events:
            runtime.log.add_event(event)
        if said["start"]:
            runtime.log.add_delivery(said["start"], "ready", {"created": now, "why": "by hand"})
    quiet = 0
    while quiet < 3:
        runtime.turn(0.1)
        quiet = quiet + 1 if runtime.idle() else 0
    done = list(reversed(runtime.log.recent(limit=1000)))
    rows = [
        (_clock(row.started or row.created), row.subscriber, row.status or row.state, row.run or row.note, row.why)
        for row in done
    ]
    click.echo(_table(rows) if rows else "nothing started")
    click.echo(f"kept in {settings.shown(apart.state)}", err=True)
    return 0 if rows and all(row.status == "success" for row in done) else 1


def _moment(text: str | None) -> float:
    if text is None:
        return time.time()
    zone = datetime.now().astimezone().tzinfo or ZoneInfo("UTC")
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}", text):
            hour, minute = map(int, text.split(":"))
            return datetime.now(zone).replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp()
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise InputError("usage", f"--at {text} is no time", hint="write 2026-11-22T06:00, or 06:00") from None
    # A moment before the given minute, so that a start at that very minute is seen.
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() - 1


def _durations(settings: Settings, names: Iterable[str]) -> dict[str, float]:
    from dbt_flow.state.history import history
    from dbt_flow.state.places import store_of

    store, found = store_of(settings), {}
    for name in names:
        good = [float(line.get("seconds") or 0) for line in history(store, name, limit=10) if line.get("status") == "success"]
        if good:
            found[name] = median(good)
    return found


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
