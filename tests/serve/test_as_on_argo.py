"""What ``serve`` hears is what Metaflow would tell Argo Events to hear: computed by Metaflow's own code, and compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stand import Stand
from test_flows_that_listen import flow

from dbt_flow.launch import FLOW_FILE, environment
from dbt_flow.serve.event import sanitized
from dbt_flow.serve.flow_reading import Reader

ASK = """
import json, runpy, sys
file, *words = sys.argv[1:]
sys.path[0] = file.rpartition("/")[0]
from metaflow import FlowSpec
made, construct = [], FlowSpec.__init__
def remember(self, *args, **kwargs):
    made.append(self)
    construct(self, *args, **kwargs)
FlowSpec.__init__ = remember
sys.argv = [file, "--quiet", "--no-pylint", *words, "check"]
try:
    runpy.run_path(file, run_name="__main__")
except SystemExit:
    pass
from metaflow.plugins.argo.argo_workflows import ArgoWorkflows
argo = ArgoWorkflows.__new__(ArgoWorkflows)
argo.flow = made[-1]
triggers, _ = argo._process_triggers()
print(json.dumps({"triggers": triggers, "schedule": argo._get_schedule()}))
"""


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAFLOW_USER", "ann")


def on_argo(stand: Stand, file: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-c", ASK, str(file), *words]
    env = environment(stand.settings, {})
    done = subprocess.run(command, cwd=stand.folder, env=env, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


PARAMETERS = 'rate = Parameter("rate", default="1")\n    word = Parameter("word", default="-")'
FLOWS = {
    "Mapped": '@trigger(event={"name": "data", "parameters": {"rate": "how_much"}})',
    "Automatic": '@project(name="shop")\n@trigger(event="data")',
    "Several": '@trigger(events=["data.one", "data-two"])',
    "Ends": '@project(name="shop")\n@trigger_on_finish(flows=["One", "Automatic"])',
    "Elsewhere": '@trigger_on_finish(flow={"name": "One", "project": "shop", "project_branch": "prod"})',
    "Weekly": '@schedule(weekly=True, timezone="Europe/Berlin")',
}


def test_flows(stand: Stand) -> None:
    for name, decorators in FLOWS.items():
        flow(stand, name, decorators, PARAMETERS)
    listening = Reader(stand.settings).read()
    for name in FLOWS:
        ours = listening.by_name[name]
        theirs = on_argo(stand, stand.folder / f"{name.lower()}.py")
        assert {wait.event: dict(wait.params) for wait in ours.waits} == {
            one["name"]: one.get("parameters", {}) for one in theirs["triggers"]
        }, name
        assert [sanitized(wait.event) for wait in ours.waits] == [one["sanitized_name"] for one in theirs["triggers"]]
        assert [wait.kind for wait in ours.waits] == [one["type"] for one in theirs["triggers"]]
        cron, zone = theirs["schedule"]
        assert (ours.schedule, ours.zone) == ((cron.replace("?", "*"),) if cron else (), zone or "UTC")


def test_dags(stand: Stand) -> None:
    stand.dag("one", "{event: {name: data, params: {day: when}}}", "params: {day: {type: date, default: today}}\n")
    stand.dag("two", "{after: one}")
    stand.dag("three", "{after: [one, two]}")
    stand.dag("timed", '{schedule: "0 6 * * *"}', "timezone: Europe/Berlin\n")
    listening = Reader(stand.settings).read()
    for name in ("one", "two", "three", "timed"):
        ours = listening.by_name[name]
        theirs = on_argo(stand, FLOW_FILE, "--config", "dag", f"dags/{name}.yaml")
        assert {wait.event: dict(wait.params) for wait in ours.waits} == {
            one["name"]: one.get("parameters", {}) for one in theirs["triggers"]
        }, name
        cron, zone = theirs["schedule"]
        assert (ours.schedule, ours.zone) == ((cron,) if cron else (), zone or "UTC")


@pytest.mark.parametrize(
    ("trigger", "what"),
    [
        ("{after: {any: [one, two]}}", "dags/three.yaml:3:24: Argo Workflows cannot express any"),
        ("{after: [one, two], within: 2h}", "dags/three.yaml:3:38: Argo Workflows cannot express within"),
        ('{after: one, at_latest: "07:00"}', "dags/three.yaml:3:34: Argo Workflows cannot express at_latest"),
        ('{schedule: ["0 6 * * *", "0 9 * * *"]}', "dags/three.yaml:3:21: Argo Workflows cannot express several schedules"),
    ],
)
def test_what_metaflows_own_command_would_lose_is_refused_with_its_line(stand: Stand, trigger: str, what: str) -> None:
    stand.dag("one", "none")
    stand.dag("two", "none")
    stand.dag("three", trigger)
    words = ["--config", "dag", "dags/three.yaml", "argo-workflows", "create", "--only-json"]
    env = environment(stand.settings, {})
    done = subprocess.run(
        [sys.executable, str(FLOW_FILE), *words], cwd=stand.folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and what in done.stderr, done.stderr
