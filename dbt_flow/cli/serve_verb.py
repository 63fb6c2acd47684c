"""``dbt-flow serve``: the local event runtime."""

from __future__ import annotations

import os
import signal
import time

import click

from dbt_flow.cli.terminal import Context
from dbt_flow.records import utc_text
from dbt_flow.state.store import FolderStore, put_json


@click.command("serve", short_help="Start DAGs and ML flows on schedules, events and ends.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Others than loopback need a token.")
@click.option(
    "--port", default=12000, show_default=True, type=click.IntRange(0, 65535), metavar="PORT", help="0 for a free one."
)
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 256), metavar="N", help="Runs at once.")
@click.option(
    "--drain",
    default=600,
    show_default=True,
    type=click.IntRange(0),
    metavar="SECONDS",
    help="How long runs may go on after SIGTERM.",
)
@click.pass_obj
def command(context: Context, host: str, port: int, jobs: int, drain: int) -> int:
    """Start DAGs and ML flows as their triggers say, on this machine: schedules, events, and the ends of runs.

    Events come in at /metaflow-event, as Metaflow sends them. The page is at the same address. What has been taken in survives
    kill -9; SIGTERM or Ctrl-C ends it when what runs has ended, and once more ends it at once. An address that others can reach
    needs DBT_FLOW_SERVE_TOKEN.
    """
    from dbt_flow.serve.page import Pages
    from dbt_flow.serve.runtime import ADDRESS, Options, Runtime
    from dbt_flow.serve.starter import MetaflowStarter
    from dbt_flow.serve.webhook import EVENT_PATH, Doors, Server, in_thread

    settings = context.settings
    starter = MetaflowStarter(settings)
    runtime = Runtime(settings, starter, Options(jobs=jobs, drain=float(drain)), say=_say)
    pages = Pages(settings, runtime)
    token = os.environ.get("DBT_FLOW_SERVE_TOKEN") or None
    server: Server | None = None

    def ready() -> None:
        in_thread(server)  # type: ignore[arg-type]
        put_json(FolderStore(settings.state), ADDRESS, {"url": server.url, "pid": os.getpid(), "started": utc_text()})  # type: ignore[union-attr]
        _say(f"{server.url}: {len(runtime.listening.subscribers)} DAGs and flows; events at {EVENT_PATH}")  # type: ignore[union-attr]

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: runtime.end())
    with runtime.alone():
        server = Server(host, port, Doors(runtime.post, pages.page, time.time, token))
        starter.webhook = f"{server.url}{EVENT_PATH}"
        runtime.run(ready)
        server.shutdown()
    return 0


def _say(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)
