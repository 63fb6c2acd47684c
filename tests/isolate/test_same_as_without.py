"""With and without ``isolate:`` a run ends the same, node by node: real runs of a small shop, through the front door."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator

import pytest
import yaml
from shop import Ran, Shop, open_shop

EVERY = {"select": "*", "isolate": "all"}
SOME = {
    "select": "*",
    "isolate": {"slow flaky": {"memory": "2GB", "cpu": 2}, "after_slow": {"cpu": 0.5}, "slow": {"memory": "9GB"}},
    "resources": {"memory": "512MB"},
}


SEEN = """
insert into seen values
{% for r in results %}('{{ r.node.unique_id }}', '{{ r.status }}', '{{ schemas | join(' ') }}'),{% endfor %} ('the end', '', '')
"""
"""An ``on-run-end`` that writes down what it is told."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(
        tmp_path_factory.mktemp("shop") / "ours", bad=("amount", "orphan", "unit", "name"), dags={"every": EVERY}
    )
    project = yaml.safe_load((opened.folder / "dbt_project.yml").read_text())
    project["on-run-start"].append("create table if not exists seen (id varchar, status varchar, schemas varchar)")
    project["on-run-end"].append(SEEN)
    (opened.folder / "dbt_project.yml").write_text(yaml.safe_dump(project))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(tmp_path_factory.mktemp("shop"), bad=("name",), dags={"some": SOME})
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def some(good: Shop) -> Ran:
    return good.start(*good.command("some", "--print-metrics")).end()


def test_broken_data_with_a_step_for_every_model(broken: Shop) -> None:
    copy = Shop(broken.folder.parent / "dbts")
    shutil.copytree(broken.folder, copy.folder)
    plain = {node: status for node, status in copy.dbt_build().items() if not node.startswith("operation.")}
    run = broken.start(*broken.command("every")).end()  # a dozen tasks, on whatever machine
    assert {node["id"]: node["status"] for node in run.json["nodes"]} == plain
    assert (run.code, run.json["status"]) == (1, "failed")
    nulls = run.node("not_null_clean_orders_amount")["id"]
    orphans = run.node("relationships_clean_orders_customer_id__id__ref_stg_customers_")["id"]
    assert run.node("totals")["blocked_by"] == [nulls]
    assert set(run.node("report")["blocked_by"]) == {nulls, orphans}, "through steps that were skipped"
    logs = {log.name.split(".")[1]: log.read_text() for log in broken.run_folder(run.json["run"]).glob("attempt-0.*.jsonl")}
    assert left(logs["report"])["cpu_of_dbt"] == 0, "a step with nothing to build does not load dbt"
    assert left(logs["totals"])["cpu_of_dbt"] == 0
    assert left(logs["after_slow"])["cpu_of_dbt"] > 0
    kept = broken.kept(run.json["run"], "run_results.json")["results"]
    nodes = sorted(entry["unique_id"] for entry in kept if not entry["unique_id"].startswith("operation."))
    assert nodes == sorted(plain), "one document for all of dbt's calls"
    assert broken.query("select what, count(*) from audit group by 1 order by 1") == [("end", 1), ("start", 1)]
    told = "select * from seen where id not like 'operation.%' and id <> 'model.shop.stg_orders' order by id"
    assert broken.query(told) == copy.query(told), "on-run-end sees the results of all steps"
    assert not list(broken.state.glob("compiled/*")), "what was compiled for it is gone"
    assert "dbt_run" in broken.told_by_metaflow(run.json["run"])[run.json["run"]]["cards"][0]["type"]


def left(log: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(log.splitlines()[-1])["left"]
    return found


def test_good_data_with_steps_for_some(good: Shop, some: Ran) -> None:
    assert (some.code, some.json["status"]) == (0, "success")
    whole = good.run("shop")
    assert some.statuses == whole.statuses
    assert some.statuses["not_null_stg_customers_name"] == "warn"
    assert {node["id"]: node["reason"] for node in some.json["nodes"]} == {
        node["id"]: node["reason"] for node in whole.json["nodes"]
    }


def test_what_each_step_used_is_told_of_its_model_and_of_the_dag(some: Ran) -> None:
    told = [line.split() for line in some.stderr.splitlines() if line.startswith("dbt_flow.")]
    cpu = {tag: float(value) for name, value, _, *tags in told if name == "dbt_flow.node.cpu" for tag in tags}
    nodes = {tag: seconds for tag, seconds in cpu.items() if tag.startswith("node:")}
    assert set(nodes) == {"node:slow", "node:flaky", "node:after_slow"}
    assert all(seconds > 0 for seconds in nodes.values())
    memory = [float(value) for name, value, *_ in told if name == "dbt_flow.node.memory"]
    (whole,) = (float(value) for name, value, *_ in told if name == "dbt_flow.dag.cpu")
    (most,) = (float(value) for name, value, *_ in told if name == "dbt_flow.dag.memory")
    assert whole > sum(nodes.values()), "the first and the last step too"
    assert most >= max(memory) > 1_000_000


def test_lanes_bear_the_names_of_steps(good: Shop, some: Ran) -> None:
    card = (good.run_folder(some.json["run"]) / "card.html").read_text()
    lanes = re.findall(r'class="lane-name"[^>]*>([^<]+)<', card)
    assert {"slow", "flaky", "after_slow"} <= set(lanes)
    assert all(lane.partition(" ")[0] in ("start", "slow", "flaky", "after_slow", "end") for lane in lanes), lanes
    whole = good.run("shop")
    plain = (good.run_folder(whole.json["run"]) / "card.html").read_text()
    assert set(re.findall(r'class="lane-name"[^>]*>([^<]+)<', plain)) <= {"1", "2"}


def test_two_steps_of_a_wave_take_turns(good: Shop, some: Ran) -> None:
    folder = good.run_folder(some.json["run"])
    spans = []
    for name in ("slow", "flaky"):
        lines = [json.loads(line) for line in (folder / f"attempt-0.{name}.jsonl").read_text().splitlines()]
        ends = [line["end"] for line in lines if "end" in line]
        spans.append((min(end["started"] for end in ends), max(end["finished"] for end in ends)))
    first, second = sorted(spans)
    assert first[1] <= second[0], "one process holds the file"
    pids = {json.loads(log.read_text().splitlines()[0])["pid"] for log in folder.glob("attempt-0.*.jsonl")}
    assert len(pids) == 5, "start, slow, flaky, after_slow, end: each a process of its own, and none for the join"
    assert "held by some, run" in (folder / "metaflow.log").read_text()


def test_the_flow_says_its_steps_and_their_resources(good: Shop, some: Ran) -> None:
    shown = good.start(*good.metaflow("some", "show")).end()
    assert shown.code == 0, shown.stderr
    steps = [line.split()[1] for line in shown.stdout.splitlines() if line.startswith("Step ")]
    assert set(steps) == {"start", "slow", "flaky", "join_1", "after_slow", "end"}
    program = """
import json, sys
from metaflow import Run, namespace
namespace(None)
run = Run(sys.argv[1])
found = {}
for info in run["start"].task["_graph_info"].data["steps"].values():
    found[info["name"]] = {d["name"]: d["attributes"] for d in info["decorators"]}
print(json.dumps(found))
"""
    graph = good.python(program, some.json["run"])
    needs = {step: decorators["resources"] for step, decorators in graph.items()}
    assert {step: (need["memory"], need["cpu"]) for step, need in needs.items() if step in ("slow", "after_slow", "end")} == {
        "slow": (2048, 2),
        "after_slow": (512, 0.5),
        "end": (512, "1"),  # Metaflow's own default
    }, "the first selection that takes a model, then the DAG's own"
