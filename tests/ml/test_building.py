"""``@dbt`` on a step: built before the body, recorded as a run; when it is not good the body does not run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop, open_shop

FLOW = """
import json
import re
from metaflow import FlowSpec, project, retry, step
from dbt_flow.ml import dbt

@project(name="shop")
class Builds(FlowSpec):
    def the_vars(self):
        return {"as_of": "2026-11-21"}

    @dbt(select="+report", vars="the_vars")
    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        with open("said.jsonl", "a") as out:
            print(json.dumps(self.dbt), file=out)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Builds()
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    found = open_shop(tmp_path)
    (tmp_path / "dbt_flow.yml").write_text("owners: {shopkeepers: {}}\n")
    (tmp_path / "builds.py").write_text(FLOW)
    (tmp_path / ".metaflow").mkdir()
    yield found
    found.close()


def test_good_and_not(shop: Shop) -> None:
    shop.control("clean_orders", fail=True)
    bad = shop.start(sys.executable, "builds.py", "--no-pylint", "run").end()
    assert bad.code != 0 and not (shop.folder / "said.jsonl").exists()
    records = sorted(shop.folder.glob(".dbt_flow/runs/dev/builds_start/*"))
    assert len(records) == 2 and [record.name.rpartition("-")[2] for record in records] == ["0", "1"]
    first, second = (json.loads((record / "result.json").read_text()) for record in records)
    assert first["status"] == second["status"] == "failed" and second["follows"] == first["run"]
    # What was good in the first attempt was not built again in the second.
    reused = {node["id"] for node in second["nodes"] if node["status"] == "reused"}
    assert any("customers" in node for node in reused)

    shop.control("clean_orders")
    good = shop.start(sys.executable, "builds.py", "--no-pylint", "run").end()
    assert good.code == 0, good.stderr + good.stdout
    (said,) = [json.loads(line) for line in (shop.folder / "said.jsonl").read_text().splitlines()]
    assert said["status"] == "success" and said["counts"]["success"] >= 4
    assert shop.query("select distinct as_of from report") == [("2026-11-21",)]
    (kept,) = shop.folder.glob(f".dbt_flow/runs/dev/builds_start/{said['run'].partition('/')[2]}/receipt.json")
    assert json.loads(kept.read_text())["digest"] == said["receipt"]
    assert (kept.parent / "card.html").is_file()


def test_the_pages_flow_that_fans_out(shop: Shop) -> None:
    """That of ``docs/training.md``, over the shop's tables."""
    page = (Path(__file__).parents[2] / "docs/training.md").read_text()
    (text,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "class ByMonth" in block)
    text = text.replace('name="freight"', 'name="shop"').replace('select="fct_fuel_prices"', 'select="+report"')
    (shop.folder / "by_month.py").write_text(
        text.replace('{"month": self.input}', '{"month": self.input, "as_of": self.input}')
    )
    done = shop.start(sys.executable, "by_month.py", "--no-pylint", "run").end(600)
    assert done.code == 0, done.stdout + done.stderr
    kept = [json.loads(file.read_text()) for file in shop.folder.glob(".dbt_flow/runs/dev/by_month_build/*/receipt.json")]
    assert [receipt["status"] for receipt in kept] == ["success"] * 2 and done.stdout.count("success {") == 2
    assert all(receipt["digest"] in done.stdout for receipt in kept)
    (last,) = shop.query("select distinct as_of from report")[0]
    assert last in ("2026-09", "2026-10")
    card = shop.start(sys.executable, "-m", "dbt_flow", "card", "by_month_build", "--out", "card.html").end(600)
    assert card.code == 0 and "report" in (shop.folder / "card.html").read_text(), card.stderr
