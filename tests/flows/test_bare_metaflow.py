"""The flow file by itself, as any Metaflow flow: run, show, card, Client, Runner; and what two runs leave in state."""

from __future__ import annotations

import datetime
import stat
import sys
from zoneinfo import ZoneInfo

import pytest
from shop import FLOW_FILE, Shop, short


@pytest.fixture(scope="module")
def by_hand(shop: Shop) -> str:
    """``python dag.py --config dag dags/dated.yaml run``; gives the run."""
    done = shop.start(*shop.metaflow("dated", "run", "--as_of", "2026-02-03", "--run-id-file", "id")).end()
    assert done.code == 0, done.stderr + done.stdout
    return "Dated/" + (shop.folder / "id").read_text().strip()


RUNNER = """
import json, sys
from metaflow import Runner
with Runner(sys.argv[1], config=[("dag", sys.argv[2])], pylint=False, show_output=False).run() as running:
    data = running.run.data
    print(json.dumps({"status": running.status, "run": running.run.pathspec, "result": data.result}))
"""


@pytest.fixture(scope="module")
def by_runner(shop: Shop, by_hand: str) -> dict[str, object]:
    told: dict[str, object] = shop.python(RUNNER, str(FLOW_FILE), "dags/dated.yaml")
    return told


def test_the_client_tells_of_the_run(shop: Shop, by_hand: str) -> None:
    facts = shop.told_by_metaflow(by_hand)[by_hand]
    assert facts["successful"]
    assert {"dag:dated", "owner:bookkeepers", "money", "project:shop"} <= set(facts["tags"])
    result = facts["result"]
    assert result["status"] == "success"
    assert result["run"] == by_hand
    assert {short(node): status for node, status in result["nodes"].items()}["report"] == "success"
    assert [card["type"] for card in facts["cards"]] == ["dbt_run"]
    assert by_hand in facts["cards"][0]["html"]


def test_a_parameter_reaches_dbt_when_it_runs(shop: Shop, by_hand: str) -> None:
    assert shop.kept(by_hand, "result.json")["parameters"] == {"as_of": "2026-02-03"}


def test_the_runner_runs_it_with_its_default(shop: Shop, by_runner: dict[str, object]) -> None:
    assert by_runner["status"] == "successful"
    assert by_runner["result"]["status"] == "success"  # type: ignore[index]
    today = datetime.datetime.now(ZoneInfo("UTC")).date().isoformat()
    assert {as_of for (as_of,) in shop.query("select distinct as_of from report")} == {today}


def test_show_and_card_commands(shop: Shop, by_hand: str) -> None:
    shown = shop.start(*shop.metaflow("dated", "show")).end()
    assert shown.code == 0
    assert "Dated" in shown.stdout + shown.stderr
    page = shop.start(*shop.metaflow("dated", "card", "get", f"{by_hand.partition('/')[2]}/end", "page.html")).end()
    assert page.code == 0, page.stdout + page.stderr
    assert by_hand in (shop.folder / "page.html").read_text()
    listed = shop.start(*shop.metaflow("dated", "card", "list", f"{by_hand.partition('/')[2]}/end")).end()
    assert "dbt_run" in listed.stdout + listed.stderr


@pytest.mark.parametrize("words", [("--as_of", "banana"), ("--as_off", "2026-01-01")])
def test_a_wrong_parameter_is_one_clear_message(shop: Shop, words: tuple[str, ...]) -> None:
    front = shop.run("dated", "--param", "=".join((words[0].lstrip("-"), words[1])))
    assert front.code == 2
    [error] = front.json["errors"] if "errors" in front.json else [front.json["error"]]
    assert error["hint"]
    assert "Traceback" not in front.stderr
    bare = shop.start(*shop.metaflow("dated", "run", *words)).end()
    assert bare.code != 0
    said = bare.stdout + bare.stderr
    if sys.version_info >= (3, 13):  # Metaflow's own archive, which nobody closes, complains while Python ends
        said = said.partition("Exception ignored in: <gzip")[0]
    assert "Traceback" not in said, said
    assert words[1] in said or words[0] in said, said


FACTS = """
import gc, json, runpy, sys
file, dag = sys.argv[1:]
sys.argv = [file, "--quiet", "--no-pylint", "--config", "dag", dag, "check"]
try:
    runpy.run_path(file, run_name="__main__")
except SystemExit:
    pass
from metaflow import FlowSpec
from dbt_flow.metaflow_seam import flow_facts
flow = next(thing for thing in gc.get_objects() if isinstance(thing, FlowSpec))
facts = flow_facts(flow)
facts["project"] = flow._flow_decorators["project"][0].attributes["name"]
facts["retries"] = [deco.attributes["times"] for deco in flow._graph["end"].decorators if deco.name == "retry"]
print(json.dumps(facts))
"""


@pytest.mark.parametrize(
    ("dag", "flow", "wanted"),
    [
        ("clocked", "Clocked", {"schedule": [{"cron": "0 6 * * 1-5", "timezone": "America/Chicago"}], "retries": ["2"]}),
        ("woken", "Woken", {"trigger": [{"name": "files_landed", "parameters": {"as_of": "day"}}], "retries": []}),
        ("second", "Second", {"trigger_on_finish": ["Dated"]}),
        ("third_one", "ThirdOne", {"trigger_on_finish": ["Dated", "Second"]}),
    ],
)
def test_the_yaml_becomes_metaflows_own_decorators(shop: Shop, dag: str, flow: str, wanted: dict[str, object]) -> None:
    facts = shop.python(FACTS, str(FLOW_FILE), f"dags/{dag}.yaml")
    assert facts["flow"] == flow
    assert facts["project"] == "shop"
    facts["trigger_on_finish"] = [heard["fq_name" if "flow" not in heard else "flow"] for heard in facts["trigger_on_finish"]]
    facts["retries"] = [str(times) for times in facts["retries"]]
    for kind in ("schedule", "trigger", "trigger_on_finish"):
        found = facts[kind]
        if kind == "trigger":
            found = [{key: event[key] for key in ("name", "parameters") if key in event} for event in found]
        assert found == wanted.get(kind, []), kind
    assert facts["retries"] == wanted.get("retries", [])
    assert set(facts["params"]) == ({"as_of"} if dag == "woken" else set())


# ---- what two runs without changes leave in state


def test_dbts_artifacts_are_kept(shop: Shop, by_hand: str, by_runner: dict[str, object]) -> None:
    for run in (by_hand, str(by_runner["run"])):
        written = shop.kept(run, "run_results.json")
        assert written["metadata"]["dbt_schema_version"].endswith("/run-results/v6.json")
        nodes = [entry["unique_id"] for entry in written["results"] if not entry["unique_id"].startswith("operation.")]
        planned = [node["id"] for node in shop.kept(run, "plan.json")["nodes"]]
        assert sorted(nodes) == sorted(planned), "every planned node once"
    digests = {shop.kept(run, "artifacts.json")["manifest"] for run in (by_hand, str(by_runner["run"]))}
    kept = [path.stem for path in (shop.state / "manifests").iterdir()]
    assert set(kept) == digests
    assert len(kept) == 1, "one manifest for two runs without changes"


VALIDATE = """
import json, sys
from dbt.artifacts.schemas.manifest import WritableManifest
from dbt.artifacts.schemas.run import RunResultsArtifact
RunResultsArtifact.validate(json.load(open(sys.argv[1])))
WritableManifest.read_and_check_versions(sys.argv[2])
print(1)
"""


def test_dbts_own_schema_reads_them(shop: Shop, by_hand: str) -> None:
    manifest = shop.state / f"manifests/{shop.kept(by_hand, 'artifacts.json')['manifest']}.json"
    assert shop.python(VALIDATE, str(shop.run_folder(by_hand) / "run_results.json"), str(manifest)) == 1


def test_the_project_folder_stays_clean_and_the_state_private(shop: Shop, by_runner: dict[str, object]) -> None:
    for name in ("target", "logs", "dbt_packages"):
        assert not (shop.folder / name).exists(), name
    assert stat.S_IMODE(shop.state.stat().st_mode) == 0o700
    assert (shop.state / ".gitignore").read_text() == "*\n"
    for path in shop.state.rglob("*"):
        if path.is_file() and path.name != ".gitignore":
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert list((shop.state / "targets").iterdir()) == []
