"""ML flows: read in a child process, matched as Argo matches, started with ``current.trigger`` filled: real Metaflow."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from metaflow.plugins.argo import argo_workflows, argo_workflows_decorator
from stand import Stand, send, settle

from dbt_flow.plan.awaited import finish_name
from dbt_flow.serve.executor import bearing
from dbt_flow.serve.flow_reading import Reader
from dbt_flow.serve.runtime import Options, Runtime
from dbt_flow.serve.starter import MetaflowStarter

FLOW = """
import json
from metaflow import FlowSpec, Parameter, current, project, schedule, step, trigger, trigger_on_finish

{decorators}
class {name}(FlowSpec):
    {parameters}

    @step
    def start(self):
        cause = getattr(current, "trigger", None)
        facts = [] if cause is None else [[e.name, e.id, e.type] for e in cause.events]
        run = cause.run.pathspec if cause and cause.runs else None
        with open("said.jsonl", "a") as out:
            values = {{name: getattr(self, name, None) for name in ("rate", "word")}}
            print(json.dumps({{"flow": current.flow_name, "facts": facts, "run": run, **values}}), file=out)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    {name}()
"""


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAFLOW_USER", "ann")


def flow(stand: Stand, name: str, decorators: str, parameters: str = "pass") -> None:
    """A flow file, listed under ``flows``."""
    file = stand.folder / f"{name.lower()}.py"
    file.write_text(FLOW.format(name=name, decorators=decorators, parameters=parameters))
    add(stand, file.name)


def add(stand: Stand, file: str) -> None:
    settings = stand.folder / "dbt_flow.yml"
    text = settings.read_text()
    settings.write_text(f"{text}  - {file}\n" if "flows:" in text else f"{text}flows:\n  - {file}\n")


def test_what_can_never_fire_and_what_cannot_be_imported(stand: Stand) -> None:
    stand.dag("risk", "none")
    flow(stand, "Hears", '@project(name="shop")\n@trigger_on_finish(flow="Risk")')
    flow(stand, "Deaf", '@trigger_on_finish(flow="Risk")')
    flow(stand, "Both", '@trigger(event="x")\n@trigger_on_finish(flow="Risk")')
    flow(stand, "Unknown", '@trigger(event={"name": "x", "parameters": {"nothing": "y"}})')
    flow(stand, "Hourly", "@schedule(hourly=True)")
    (stand.folder / "broken.py").write_text("import nothing_of_the_kind\n")
    add(stand, "broken.py")
    add(stand, "missing.py")
    listening = Reader(stand.settings).read()
    assert set(listening.by_name) == {"risk", "Hears", "Deaf", "Hourly"}
    assert listening.by_name["Hears"].waits[0].event == listening.by_name["risk"].finished == "metaflow.shop.user.ann.Risk.end"
    assert listening.by_name["Hourly"].schedule == ("0 * * * *",)
    found = {(problem.code, str(problem.place).partition(":")[0]): problem for problem in listening.problems}
    assert set(found) == {
        ("never-fires", "deaf.py"),
        ("bad-value", "both.py"),
        ("bad-value", "unknown.py"),
        ("flow-import", "broken.py"),
        ("unreadable", "missing.py"),
    }
    assert "nothing_of_the_kind" in found["flow-import", "broken.py"].message
    assert found["never-fires", "deaf.py"].hint == 'write @project(name="shop") above Deaf'
    assert found["never-fires", "deaf.py"].place.line == 5  # type: ignore[union-attr]


def test_the_names_are_metaflows_own() -> None:
    """As ``ArgoWorkflows`` computes them; an upgrade that changes them fails here."""

    assert finish_name("p", "user.x", "F") == "metaflow.p.user.x.F.end" and finish_name(None, None, "F") == "metaflow.F.end"
    source = inspect.getsource(argo_workflows)
    assert '"metaflow.%s.end"' in source and 'to_unicode(base64.b32encode(sha1(to_bytes(event["name"])).digest()))' in source
    decorator = inspect.getsource(argo_workflows_decorator)
    for field in ("pathspec", "flow_name", "run_id", "step_name", "task_id", "auto-generated-by-metaflow"):
        assert f'add_to_payload("{field}"' in decorator


def test_ml_flows_start_each_other_and_see_what_started_them(stand: Stand) -> None:
    flow(
        stand,
        "First",
        '@trigger(event="data")',
        'rate = Parameter("rate", type=float, default=0.1)\n    word = Parameter("word", default="-")',
    )
    flow(stand, "Second", '@trigger_on_finish(flow="First")')
    (stand.folder / ".metaflow").mkdir()
    runtime = Runtime(stand.settings, MetaflowStarter(stand.settings), Options(watch_files=False), say=print)
    runtime.listening = Reader(stand.settings).read()
    assert not runtime.listening.problems
    runtime.open()

    hostile = "$(touch hacked); --with retry\n'\"é"
    send(runtime, "data", id="e1", rate=0.5, word=hostile)
    settle(runtime, lambda: len(runtime.log.recent("Second")) == 1, seconds=300)
    # Somebody starts one by hand: its end is seen in Metaflow's own records.
    subprocess.run(
        [sys.executable, "first.py", "--quiet", "run"], cwd=stand.folder, check=True, capture_output=True, env={**os.environ}
    )
    settle(runtime, lambda: len(runtime.log.recent("Second")) == 2, seconds=300)
    rows = [json.loads(line) for line in (stand.folder / "said.jsonl").read_text().splitlines()]
    first, second, by_hand, third = rows
    assert first == {"flow": "First", "facts": [["data", "e1", "event"]], "run": None, "rate": 0.5, "word": hostile}
    run = runtime.log.recent("First")[0].run
    assert second["run"] == run and second["facts"] == [["metaflow.First.end", f"{run}/end/2", "run"]]
    assert by_hand["facts"] == [] and third["run"].startswith("First/")
    assert not (stand.folder / "hacked").exists()
    assert [row.status for row in runtime.log.recent()] == ["success"] * 3
    meta = next(Path(stand.folder, ".metaflow", *str(run).split("/"), "start").glob("*/_meta/*execution-triggers*"))
    assert json.loads(json.loads(meta.read_text())["value"])[0]["name"] == "data"


def test_the_decorator_imports_nothing_of_ours() -> None:
    code = "import sys, metaflow; print([name for name in sys.modules if name.split('.')[0] in ('dbt_flow', 'jinja2', 'dbt')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_flow_s_run_that_was_left_by_a_killed_runtime_is_ended_and_repeated(stand: Stand) -> None:
    """Under the same delivery, with the same event; the process that was left is found by what it bears, and is gone."""
    flow(stand, "Long", '@trigger(event="data")')
    file = stand.folder / "long.py"
    held = "        import os, time\n        while os.path.exists('hold'):\n            time.sleep(0.05)\n"
    file.write_text(file.read_text().replace("        self.next(self.end)\n", f"{held}        self.next(self.end)\n"))
    (stand.folder / ".metaflow").mkdir()
    (stand.folder / "hold").touch()
    said = stand.folder / "said.jsonl"

    def runtime() -> Runtime:
        made = Runtime(stand.settings, MetaflowStarter(stand.settings), Options(watch_files=False), say=print)
        made.listening = Reader(stand.settings).read()
        made.open()
        return made

    first = runtime()
    send(first, "data", id="e1")
    deadline = time.monotonic() + 300
    while not said.exists() or not first.log.deliveries(("running",)):
        assert time.monotonic() < deadline
        first.turn(0.05)
    (before,) = first.log.recent("Long")
    left = bearing(str(before.token))
    assert left
    first.log.close()  # as kill -9 leaves it: nobody has ended anything

    second = runtime()
    assert not psutil.wait_procs(left, timeout=60)[1], "what was left is ended before anything is repeated"
    (stand.folder / "hold").unlink()
    settle(second, lambda: len(said.read_text().splitlines()) == 2, seconds=300)
    (after,) = second.log.recent("Long")
    assert (after.id, after.state, after.status, after.tries) == (before.id, "done", "success", 2)
    assert after.run != before.run and f"{before.run} was ended with the runtime" in after.note
    facts = [json.loads(line)["facts"] for line in said.read_text().splitlines()]
    assert facts == [[["data", "e1", "event"]]] * 2
