"""What becomes of a held flow as time passes, and who is told of it: the real runtime over receipts that are written here."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))
from stand import Stand

from dbt_flow.pipeline.receipt import digest_of
from dbt_flow.plan.arrivals import Listener
from dbt_flow.plan.awaited import finish_name
from dbt_flow.plan.needs import Contract
from dbt_flow.records import flow_name, utc_text
from dbt_flow.report.rules import Rules
from dbt_flow.serve.listeners import Listening, Subscriber, Wait
from dbt_flow.serve.runtime import Runtime

BEGAN = 1_795_219_200.0
SETTINGS = "owners: {team: {}, ml-platform: {email: ml@freight.example}, own: {}}\n"


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: shop\n")
    (tmp_path / "dbt_flow.yml").write_text(SETTINGS)
    found = Stand(tmp_path, BEGAN)
    for dag in ("a", "b"):
        found.dag(dag, "none")
    yield found


def ended(stand: Stand, dag: str, was: str = "success", tested: str = "pass") -> None:
    """A run of a DAG that builds the table of its name, as it leaves it."""
    number = str(int(stand.clock() * 1e6))
    run, at = f"{flow_name(dag)}/{number}", utc_text(stand.clock())
    common = {"softened": False, "built_in": run, "built": at, "checked": at, "checksum": "c", "failures": None}
    table = {"id": f"model.shop.{dag}", "name": dag, "type": "model", "relation": f"main.{dag}", "parents": [], "tests": None}
    test = {"id": f"test.shop.t_{dag}", "name": f"t_{dag}", "type": "test", "relation": None, "parents": [table["id"]]}
    nodes = [
        {**table, **common, "status": was, "was": was, "rows": 1},
        {**test, **common, "tests": table["id"], "status": tested, "was": tested, "rows": None},
    ]
    exposure = {"id": "exposure.shop.train", "name": "train", "owner": "ml@freight.example"}
    facts: dict[str, Any] = {
        "version": 1,
        "run": run,
        "dag": dag,
        "owner": "team",
        "target": "dev",
        "adapter": "duckdb",
        "status": "success" if tested == "pass" else "failed",
        "started": at,
        "finished": at,
        "follows": None,
        "plan": "p",
        "missing": [],
        "inlined": [],
        "inputs": [],
        "sources": [],
        "nodes": nodes,
        "exposures": [{**exposure, "parents": ["model.shop.a", "model.shop.b"]}],
    }
    folder = stand.state / "runs/dev" / dag / number
    folder.mkdir(parents=True)
    (folder / "receipt.json").write_text(json.dumps({**facts, "digest": digest_of(facts)}))
    result = {
        "version": 1,
        "dag": dag,
        "flow": flow_name(dag),
        "run": run,
        "status": facts["status"],
        "reason": "",
        "nodes": [],
    }
    (folder / "result.json").write_text(json.dumps({**result, "target": "dev", "started": at, "finished": at, "seconds": 0.1}))
    history = stand.state / "history/dev"
    history.mkdir(parents=True, exist_ok=True)
    with (history / f"{dag}.jsonl").open("a") as stream:
        stream.write(json.dumps({"run": run, "target": "dev", "status": facts["status"], "started": at, "seconds": 0.1}) + "\n")


def listening(runtime: Runtime, contract: Contract, owner: str = "") -> Listening:
    """The DAGs, and a flow that reads what they build."""
    dags = [one for one in runtime.listening.subscribers if one.kind == "dag"]
    waits = tuple(Wait(finish_name("shop", one.branch, one.flow), one.name, "run") for one in dags)
    rule = Listener("Train", tuple(wait.event for wait in waits))
    train = Subscriber("Train", "flow", "Train", "train.py", owner=owner, waits=waits, rule=rule, needs=contract)
    return Listening((*dags, train))


def turned(runtime: Runtime, stand: Stand, seconds: float = 0.0) -> None:
    """Let time pass, in steps, as a runtime that is always there sees it."""
    for _ in range(4):
        stand.now = stand.clock() + seconds / 4
        runtime.turn(0)
        runtime.owners.tick(runtime.listening)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def remember(store: object, rules: Rules, blank: Any, headline: str, *, page: bool) -> None:
        found.append((rules.owner, headline))

    monkeypatch.setattr("dbt_flow.serve.owners_told.tell_alarm", remember)
    return found


def starts(runtime: Runtime) -> int:
    return len(runtime.log.deliveries(("ready", "started", "claimed", "done"), 10, "Train"))


def test_a_table_grows_too_old_while_the_other_is_waited_for(stand: Stand, told: list[tuple[str, str]]) -> None:
    runtime = stand.runtime()
    runtime.executor.starting = False
    contract = Contract(exposure="train", max_age=3600)
    turned(runtime, stand, 1)
    ended(stand, "b")
    turned(runtime, stand, 1)
    runtime.listening = listening(runtime, contract)
    runtime._listen(runtime.listening, stand.clock())
    ended(stand, "a")
    turned(runtime, stand, 60)
    assert runtime.log.standing("Train").arrived and runtime.log.standing("Train").held is None and not told
    turned(runtime, stand, 7200)
    assert runtime.log.standing("Train").held is not None
    turned(runtime, stand, 7200)
    # Told once, though it grows older and older; to the exposure's owner, whom dbt knows by the address.
    ((owner, text),) = told
    assert owner == "ml@freight.example" and text.startswith("Train is held: waits for B; a is ") and "older than 1 h" in text
    ended(stand, "b")
    turned(runtime, stand, 1)
    assert starts(runtime) == 0 and "a is 4.0 h old" in (runtime.log.cursor("needs.why.Train") or "")
    ended(stand, "a")
    turned(runtime, stand, 1)
    assert starts(runtime) == 1 and runtime.log.standing("Train").held is None


def test_what_is_held_starts_when_more_is_accepted_and_a_teams_flow_is_its_own(
    stand: Stand, told: list[tuple[str, str]]
) -> None:
    runtime = stand.runtime()
    runtime.executor.starting = False
    turned(runtime, stand, 1)
    ended(stand, "b")
    ended(stand, "a", tested="fail")
    runtime.listening = listening(runtime, Contract(tables=("a", "b")), owner="own")
    runtime._listen(runtime.listening, stand.clock())
    turned(runtime, stand, 120)
    assert starts(runtime) == 0 and [owner for owner, _ in told] == ["own"] and "t_a is fail" in told[0][1]
    # Its author decides that this is good enough: nobody has to run anything.
    kinder = listening(runtime, Contract(tables=("a", "b"), accept=("success", "pass", "fail")), owner="own")
    runtime._listen(kinder, stand.clock())
    turned(runtime, stand, 120)
    assert starts(runtime) == 1 and len(told) == 1
    # Without a team and an exposure, the DAGs' owner is told.
    none = replace(kinder.by_name["Train"], owner="", needs=Contract(tables=("a",)))
    runtime._listen(Listening((*runtime.listening.subscribers[:-1], none)), stand.clock())
    ended(stand, "a", tested="fail")
    turned(runtime, stand, 120)
    assert told[-1][0] == "team"
