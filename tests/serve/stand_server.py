"""A server over stand-in runs that can be killed hundreds of times: all is imported once, each life is a fork.

``python stand_server.py ROOT``: for each line on stdin, ``SECONDS BAD CRASH`` (- for nothing), a server begins to live; when it
takes events in, a line with its process id and its address is printed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from stand import StandIn

from dbt_flow.serve.flow_reading import Reader
from dbt_flow.serve.runtime import Options, Runtime
from dbt_flow.serve.webhook import Doors, Server, in_thread
from dbt_flow.settings import load_settings


def live(root: Path, seconds: float, bad: tuple[str, ...]) -> None:
    settings = load_settings(start=root, environ={})
    names = [file.stem for file in settings.dags.glob("*.yaml")]
    starter = StandIn(settings.state, dict.fromkeys(names, seconds), bad)
    runtime = Runtime(settings, starter, Options(jobs=8, watch_files=False), say=lambda text: None)
    runtime.listening = Reader(settings).read()
    server: list[Server] = []

    def ready() -> None:
        server.append(Server("127.0.0.1", 0, Doors(runtime.post, lambda path, query: None, time.time)))
        in_thread(server[0])
        print(os.getpid(), server[0].url, flush=True)

    signal.signal(signal.SIGTERM, lambda *_: runtime.end())
    with runtime.alone():
        runtime.run(ready)
    server[0].shutdown()


def main() -> None:
    root = Path(sys.argv[1])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        seconds, bad, crash = line.split()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if crash != "-":
                os.environ["DBT_FLOW_CRASH"] = crash
            live(root, float(seconds), tuple(bad.split(",")))
            os._exit(0)


if __name__ == "__main__":
    main()
