"""The receipt: made with the run, the same whoever makes it, checked when it is read, honest about what it stands on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop, open_shop

from dbt_flow.errors import StateError
from dbt_flow.pipeline.phrases import standing_of
from dbt_flow.pipeline.receipt import digest_of, receipt_of, receipt_of_run, revision_of
from dbt_flow.plan.needs import Contract, judge
from dbt_flow.records import utc_moment
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import FolderStore

DAGS = {
    "orders": {"select": "customers orders stg_customers stg_orders clean_orders"},
    "sums": {"select": "totals"},
    "soft": {"select": "orders stg_orders clean_orders", "tests": {"on_fail": "warn"}},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    found = open_shop(tmp_path_factory.mktemp("receipt"), dags=DAGS)
    (found.folder / "dbt_flow.yml").write_text("owners: {shopkeepers: {}}\n")
    yield found
    found.close()


def cli(shop: Shop, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dbt_flow", *words]
    return subprocess.run(command, cwd=shop.folder, env=shop.environment(), capture_output=True, text=True, check=False)


def test_a_receipt_from_the_run_to_its_readers(shop: Shop) -> None:
    store = FolderStore(shop.state)
    first = shop.run("orders").json["run"]
    second = shop.run("sums").json["run"]
    kept = shop.kept(second, "receipt.json")
    assert kept["digest"] == digest_of(kept) and kept["run"] == second and kept["status"] == "success"
    assert kept["manifest"] and kept["plan"] and kept["versions"]["dbt"] and kept["task"].startswith(f"{second}/end/")
    (totals,) = (item for item in kept["nodes"] if item["name"] == "totals")
    assert totals["relation"] and totals["built_in"] == second and totals["rows"]
    assert {item["run"] for item in kept["inputs"]} == {first}
    done = cli(shop, "receipt", second, "--json")
    assert json.loads(done.stdout) == kept, done.stderr
    assert "totals" in cli(shop, "receipt", "sums").stdout

    # A crash before it was written: whoever reads it makes the same one.
    (shop.run_folder(second) / "receipt.json").unlink()
    assert receipt_of_run(store, second) == kept

    # Tables are found by name, id, relation and exposure; what is good is good, until it is too old.
    for name in ("totals", totals["id"], totals["relation"]):
        standing = standing_of(store, Contract(tables=(name,)))
        now = utc_moment(totals["built"]).timestamp()
        assert judge(Contract(tables=(name,), max_age=60), standing.words, now + 30) == []
        assert "older than" in judge(Contract(tables=(name,), max_age=60), standing.words, now + 90)[0]
    assert judge(Contract(), standing_of(store, Contract(tables=("nothing",))).words, 0) == ["no run has built nothing yet"]

    # One letter is changed afterwards.
    file = shop.run_folder(second) / "receipt.json"
    file.write_text(file.read_text().replace('"success"', '"succesS"', 1))
    with pytest.raises(StateError, match="not what was written"):
        receipt_of_run(store, second)
    assert cli(shop, "receipt", second).returncode == 2
    file.unlink()


def test_a_failure_that_was_softened_is_no_secret(shop: Shop) -> None:
    (shop.folder / "seeds/orders.csv").write_text("id,customer_id,amount\n1,1,10\n2,2,\n")
    assert shop.run("soft").json["status"] == "success"
    store = FolderStore(shop.state)
    standing = standing_of(store, Contract(tables=("clean_orders",)))
    (trouble,) = judge(Contract(), standing.words, 0)
    assert "only warns because of tests.on_fail" in trouble
    accepting = Contract(accept=("success", "pass", "softened"))
    assert judge(accepting, standing.words, 0) == []
    # What another run made of it knows, too.
    run = shop.run("sums", env={"DBT_FLOW_MISSING": '["flaky"]'}).json["run"]
    (ref,) = (RunRef("dev", "sums", run.partition("/")[2]),)
    said = receipt_of(RunRecord(store, ref))
    assert said and any(item["troubles"] for item in said["inputs"])
    words = standing_of(store, Contract(tables=("totals",))).words
    # It says, too, what it was started without (as serve tells it, with `otherwise: run`).
    assert said["missing"] == ["flaky"]
    reasons = judge(Contract(), words, 0)
    assert f"{run} started without flaky" in reasons and any("only warns because of tests.on_fail" in one for one in reasons)
    assert judge(Contract(accept=("success", "pass", "softened", "missing")), words, 0) == []


def test_the_commit_is_read_from_files(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "below").mkdir()
    assert revision_of(tmp_path / "below") == head
    subprocess.run(["git", "pack-refs", "--all"], cwd=tmp_path, check=True)
    assert revision_of(tmp_path) == head
    subprocess.run(["git", "checkout", "-q", "--detach"], cwd=tmp_path, check=True)
    assert revision_of(tmp_path) == head
