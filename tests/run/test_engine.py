"""The engine with a real dbt in this process: what it records, how it falls back, how it is stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from projects import chain

SETUP = """
import json, sys, threading, time
from pathlib import Path
from dbt_flow.project.parsing import parse
from dbt_flow.project.place import DbtProject
from dbt_flow.run.engine import Build, Engine
from dbt_flow.run.recorder import Feed, Recorder
import dbt_flow.run.engine as module

folder = Path(sys.argv[1])
parsed = parse(DbtProject(folder, folder), folder / "cache", folder / "tgt")
nodes = frozenset(parsed.manifest.nodes)

class Kept:
    step = ""
    def node_started(self, *a): pass
    def node_ended(self, *a): pass

def engine():
    recorder = Recorder(0, Feed(None))
    recorder.watch(nodes, Kept())
    return Engine(recorder)

def order(**more):
    arguments = tuple(parsed.arguments())
    return Build(manifest=parsed.manifest, arguments=arguments, selection=(), nodes=nodes, whole=True, folder=folder,
                 graph=parsed.graph, **more)

def told(one, outcome, **more):
    return {"ok": outcome.ok, "surprises": outcome.surprises, "error": repr(outcome.error) if outcome.error else None,
            "statuses": {r.id: r.status for r in one.recorder.results.values()},
            "written": len((outcome.run_results or {}).get("results", ())), **more}
"""


def run(folder: Path, program: str) -> list[dict[str, object]]:
    """A program in a process of its own: dbt leaves a lot behind."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + textwrap.dedent(program), str(folder)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_builds_surprises_and_fallbacks(tmp_path: Path) -> None:
    """One process, four builds of one parsed project."""
    folder = chain(tmp_path / "p", "first", "second")
    plain, deaf, own_queue, odd = run(
        folder,
        """
        out = []
        one = engine(); out.append(told(one, one.build(order())))

        # A callback that meets what it cannot read, at every event: nothing is built differently, nothing is lost.
        one = engine()
        keep, module.result_of = module.result_of, lambda *a: 1 / 0
        out.append(told(one, one.build(order())))
        module.result_of = keep

        # The queue cannot be made as we want it: dbt's own, since the whole selection is to be built.
        one = engine()
        keep, module._queue_of = module._queue_of, lambda *a: 1 / 0
        out.append(told(one, one.build(order())))

        # The same for a part of a selection: dbt's own queue would build too much, so the build fails instead.
        one = engine()
        import dataclasses
        out.append(told(one, one.build(dataclasses.replace(order(), whole=False))))
        module._queue_of = keep
        print("\\n" + json.dumps(out))
        """,
    )
    assert plain["ok"]
    assert set(plain["statuses"].values()) == {"success", "pass"}  # type: ignore[attr-defined]
    assert len(plain["statuses"]) == plain["written"] == 5  # type: ignore[arg-type]
    assert plain["surprises"] == []
    assert deaf["ok"], "a callback of ours that fails does not turn a built model into an error"
    assert deaf["statuses"] == plain["statuses"], "what events did not tell, the result did"
    assert "could not be read" in deaf["surprises"][0]  # type: ignore[index]
    assert own_queue["statuses"] == plain["statuses"]
    assert "the queue is dbt's own" in own_queue["surprises"][0]  # type: ignore[index]
    assert not odd["ok"]
    assert odd["error"]
    assert odd["statuses"] == {}, "nothing was built that nobody decided"


def test_what_the_longest_path_begins_with_goes_before_all_that_waits(tmp_path: Path) -> None:
    """Also where it may start only later: dbt's own pool would keep the order in which nodes became ready."""
    folder = chain(tmp_path / "p", "first", "second", tests=False)
    for number in range(3):
        (folder / f"models/short_{number}.sql").write_text("select 1 as id\n")
    [started] = run(
        folder,
        """
        import dataclasses
        one, begun = engine(), []
        Kept.node_started = lambda self, attempt, node, *more: begun.append(node)
        ranks = {"seed.shop.numbers": 9, "model.shop.first": 8, "model.shop.second": 7}
        ranks |= {node: 1 for node in nodes if "short" in node}
        asked = order(ranks=ranks)
        assert one.build(dataclasses.replace(asked, arguments=(*asked.arguments, "--threads", "1"))).ok
        print(json.dumps([begun]))
        """,
    )
    names = [str(node).rpartition(".")[2] for node in started]  # type: ignore[attr-defined]
    assert names == ["numbers", "first", "second", "short_0", "short_1", "short_2"]


def test_a_build_that_is_stopped_starts_nothing_more(tmp_path: Path) -> None:
    folder = chain(tmp_path / "p", "first", "second", tests=False)
    (folder / "models/first.sql").write_text(
        "{{ config(materialized='table') }}\nselect id, value, sleep_ms(600000) as told from {{ ref('numbers') }} limit 1\n"
    )
    [stopped] = run(
        folder,
        """
        one = engine()
        def stop():
            while "model.shop.first" not in one.recorder.running: time.sleep(0.05)
            began = time.monotonic()
            one.stop()
            global took
            took = time.monotonic() - began
        stopper = threading.Thread(target=stop, daemon=True)
        stopper.start()
        began = time.monotonic()
        outcome = one.build(order())
        seconds = time.monotonic() - began
        stopper.join()
        print("\\n" + json.dumps([told(one, outcome, seconds=seconds, took=took)]))
        """,
    )
    assert stopped["took"] < 60, "stop() does not wait for the model"  # type: ignore[operator]
    assert stopped["seconds"] < 300  # type: ignore[operator]
    statuses = stopped["statuses"]
    assert statuses["seed.shop.numbers"] == "success"  # type: ignore[index]
    assert statuses.get("model.shop.first", "cancelled") == "cancelled"  # type: ignore[attr-defined]
    assert statuses.get("model.shop.second", "skipped") == "skipped"  # type: ignore[attr-defined]
