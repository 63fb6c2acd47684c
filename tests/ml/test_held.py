"""Real runs, real flows: one whose table is bad is held, one whose table is good runs; a retry starts the held one.

A table that is rebuilt while it is read is refused, and read again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from shop import Shop, open_shop

from dbt_flow.serve.flow_reading import Reader
from dbt_flow.serve.now import now_of
from dbt_flow.serve.runtime import Options, Runtime
from dbt_flow.serve.starter import MetaflowStarter
from dbt_flow.settings import load_settings

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))
from stand import settle

FLOW = """
import json, os, subprocess, sys
import duckdb
from metaflow import FlowSpec, current, project, retry, step
from dbt_flow.ml import needs

@project(name="shop")
@needs(tables=["{table}"], max_age="1h")
class {name}(FlowSpec):
    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        with self.receipts.reading("{table}") as relation:
            with duckdb.connect("dev.duckdb", read_only=True) as connection:
                self.rows = connection.execute(f"select count(*) from {{relation}}").fetchall()[0][0]
            if os.path.exists("rebuild"):
                os.unlink("rebuild")
                subprocess.run([sys.executable, "-m", "dbt_flow", "run", "orders"], check=True)
        self.next(self.end)

    @step
    def end(self):
        with open("said.jsonl", "a") as out:
            facts = self.receipts["{table}"]
            print(json.dumps({{"flow": current.flow_name, "rows": self.rows, "run": facts["run"]}}), file=out)

if __name__ == "__main__":
    {name}()
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    found = open_shop(
        tmp_path, bad=("amount",), dags={"orders": {"select": "customers stg_customers orders clean_orders totals"}}
    )
    (tmp_path / "dags/shop.yaml").unlink()
    (tmp_path / "dbt_flow.yml").write_text("owners: {shopkeepers: {}}\nflows: [sums.py, names.py]\n")
    (tmp_path / "sums.py").write_text(FLOW.format(name="Sums", table="totals"))
    (tmp_path / "names.py").write_text(FLOW.format(name="Names", table="stg_customers"))
    (tmp_path / ".metaflow").mkdir()
    for name, value in found.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("METAFLOW_USER", "tester")
    yield found
    found.close()


def said(shop: Shop) -> list[dict[str, str]]:
    file = shop.folder / "said.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_held_mended_and_rebuilt(shop: Shop) -> None:
    settings = load_settings(start=shop.folder, environ={})
    runtime = Runtime(settings, MetaflowStarter(settings), Options(watch_files=False), say=print)
    runtime.listening = Reader(settings).read()
    assert not runtime.listening.problems
    assert runtime.listening.by_name["Sums"].text == "when totals is good"
    runtime.open()

    first = shop.run("orders").json["run"]
    settle(runtime, lambda: bool(runtime.log.recent("Names")), seconds=300)
    assert [(row["flow"], row["run"]) for row in said(shop)] == [("Names", first)]
    held = now_of(runtime.log, runtime.listening.by_name["Sums"], runtime.clock())
    assert held.state == "held" and "totals is skipped" in held.text and "not_null_clean_orders_amount" in held.text
    assert any(notice["kind"] == "held" and "Sums" in notice["text"] for notice in runtime.log.notices())

    # The row is mended, and what failed is done again.
    with duckdb.connect(str(shop.folder / "dev.duckdb")) as connection:
        connection.execute("update main.clean_orders set amount = 1 where amount is null")
    (shop.folder / "rebuild").touch()
    retried = shop.start(sys.executable, "-m", "dbt_flow", "retry", first).end()
    assert retried.code == 0, retried.stderr
    (shop.folder / "seeds/orders.csv").write_text("id,customer_id,amount\n1,1,10\n2,2,20\n")
    settle(runtime, lambda: len([row for row in said(shop) if row["flow"] == "Sums"]) >= 1, seconds=400)
    runs = sorted(path.name for path in shop.folder.glob(".dbt_flow/runs/dev/orders/*"))
    assert len(runs) == 3
    # It was started by the retry, saw its table rebuilt while it read, and read the new one.
    (sums,) = [row for row in said(shop) if row["flow"] == "Sums"][:1]
    assert sums["run"] == f"Orders/{runs[2]}" and sums["rows"] == 2
    assert [row.status for row in runtime.log.recent("Sums")][-1] == "success"
    assert len(list(shop.folder.glob(".metaflow/Sums/*/start/1/_meta/sysmeta_attempt_ok_*"))) >= 2
