"""A pod of a deployed DAG, as Argo starts it: the flow's own process, with the variables that the template gives it."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from shop import Ran, Shop, Started

from dbt_flow.pipeline.first_step import CLOCK
from dbt_flow.plan.awaited import finish_name
from dbt_flow.serve.event import sanitized

FLOW = """from metaflow import FlowSpec, step


class NAME(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""
_NUMBERS = itertools.count(1)


@dataclass
class Webhook:
    """Where Metaflow sends the events of ends: the names that came."""

    url: str = ""
    names: list[str] = field(default_factory=list)


@contextmanager
def webhook() -> Iterator[Webhook]:
    heard = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            heard.names.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["name"])
            self.send_response(200)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Pods:
    """Starts pods of a shop's DAGs, all deployed to production."""

    shop: Shop
    hook: Webhook
    variables: Mapping[str, str] = field(default_factory=dict)

    def template(self, flow: str) -> str:
        return f"shop.prod.{flow.lower()}"

    def start(self, dag: str, *events: Mapping[str, Any], python: tuple[str, ...] = (), emits: bool = False) -> Pod:
        """The first pod of a workflow, for events that Argo hands over.

        :param emits: with Metaflow's own decorator for Argo, which sends the event of the flow's end; a task that ends well
            needs the folders of a pod for it.
        """
        flow = "".join(part.capitalize() for part in dag.split("_"))
        run = f"argo-{self.template(flow)}-{next(_NUMBERS):05d}"
        env = {
            **self.variables,
            **variables(*events),
            "DBT_FLOW_PRODUCTION": "1",
            "ARGO_WORKFLOW_TEMPLATE": self.template(flow),
            "ARGO_WORKFLOW_NAME": run.removeprefix("argo-"),
            "ARGO_WORKFLOW_NAMESPACE": "default",
            "METAFLOW_OWNER": "tester",
            "METAFLOW_ARGO_EVENTS_WEBHOOK_URL": self.hook.url,
        }
        internal = ("--with", "argo_workflows_internal:auto-emit-argo-events=1")
        interpreter, file, *flags = self.shop.metaflow(dag)
        flow_words = (interpreter, *python, file, *flags)
        begin = self.shop.start(*flow_words, "init", "--run-id", run, "--task-id", "1", env=env).end(300)
        assert begin.code == 0, begin.stderr
        words = ("step", "end", "--run-id", run, "--task-id", "2", "--input-paths", f"{run}/_parameters/1")
        line = (*flow_words, *(internal if emits else ()), *words)
        return Pod(self, dag, f"{flow}/{run}", self.shop.start(*line, env=env))

    def run(self, dag: str, *events: Mapping[str, Any], emits: bool = False) -> Pod:
        """One, to its end."""
        pod = self.start(dag, *events, emits=emits)
        pod.done = pod.started.end(300)
        return pod


@dataclass
class Pod:
    pods: Pods
    dag: str
    run: str
    started: Started
    done: Ran | None = None

    @property
    def number(self) -> str:
        return self.run.partition("/")[2]

    @property
    def code(self) -> int:
        self.done = self.done or self.started.end(300)
        return self.done.code


def variables(*events: Mapping[str, Any]) -> dict[str, str]:
    """What Argo hands over; of an event that has not come it says ``null``."""
    found = {"METAFLOW_ARGO_EVENT_PAYLOAD_run_ofanother_abcd": "null"}
    for one in events:
        kind = "run" if str(one["name"]).startswith("metaflow.") else "event"
        found[f"METAFLOW_ARGO_EVENT_PAYLOAD_{kind}_{sanitized(str(one['name']))}"] = json.dumps(one)
    return found


def ended(run: str, ago: float = 0.0) -> dict[str, Any]:
    """The event that Metaflow sends at the end of a run in production (``Nightly/argo-shop.prod.nightly-1``)."""
    flow, _, number = run.partition("/")
    name = finish_name("shop", "prod", flow)
    return {
        "name": name,
        "id": f"{run}/end/t-1",
        "timestamp": int(time.time() - ago),
        "run_id": number,
        "flow_name": flow,
    }


def attempts_ok(folder: Path, run: str) -> list[str]:
    """What Metaflow has noted of the last steps of a run, by the beginning of its id: whether its attempt was good."""
    found = folder.glob(f".metaflow/*/{run}*/end/*/_meta/sysmeta_attempt_ok_*.json")
    return [str(json.loads(file.read_text())["value"]) for file in sorted(found)]


def far_from_now(zone: str = "UTC") -> str:
    """A time of day that does not pass while a test runs."""
    return "21:00" if 5 <= datetime.now(ZoneInfo(zone)).hour < 15 else "09:00"


def with_flows(root: Path, *names: str) -> None:
    """ML flows that a DAG may wait for."""
    (root / "training").mkdir()
    for name in names:
        (root / f"training/{name.lower()}.py").write_text(FLOW.replace("NAME", name))
    files = ", ".join(f"training/{name.lower()}.py" for name in names)
    (root / "dbt_flow.yml").write_text(f"project: shop\ndbt_projects: [.]\nflows: [{files}]\n")


def clock() -> dict[str, Any]:
    """What the CronWorkflow hands over."""
    return {"name": CLOCK}
