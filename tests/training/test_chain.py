"""The whole chain by ``dbt-flow serve``, from a schedule: files, three DAGs, a model, its deployment; then a variant.

Beside it the first flow of ``docs/training.md``, and one that reads fuel prices: a bad row holds it, a retry starts it, and a
table that is rebuilt while it reads makes it read again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
from loopback_files import Files, serving
from loopback_hook import Hook, hooked

from dbt_flow.run.lock import database_lock
from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.runtime import running_at
from dbt_flow.settings import load_settings

pytest.importorskip("sklearn")
pytest.importorskip("pandas")
ROOT = Path(__file__).parents[2]


PAGE = ROOT / "docs/training.md"
PRICE_FUEL = """
import os, subprocess, sys
from metaflow import FlowSpec, project, retry, step
from dbt_flow.ml import needs

@project(name="freight")
@needs(tables=["fct_fuel_prices"], max_age="24h")
class PriceFuel(FlowSpec):
    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        with self.receipts.reading("fct_fuel_prices"):
            if os.path.exists("rebuild"):
                os.unlink("rebuild")
                subprocess.run([sys.executable, "-m", "dbt_flow", "run", "carrier_reference"], check=True)
        self.highest = float(self.receipts.pandas("fct_fuel_prices")["price_usd_per_gallon"].max())
        self.next(self.end)

    @step
    def end(self):
        with open("priced", "a") as out:
            print(self.highest, self.receipts["fct_fuel_prices"]["run"], file=out)

if __name__ == "__main__":
    PriceFuel()
"""


class Chain:
    """A copy of the example, and the server over it."""

    hook: Hook
    may_fail: frozenset[str] = frozenset()

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder, self.files = folder, files
        for name in ("dags", "training", "dbt_project"):
            leave = shutil.ignore_patterns("target", "logs", "*.duckdb*", ".*", "__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=leave)
        shutil.rmtree(folder / "training/registry", ignore_errors=True)
        shutil.copy(ROOT / "dbt_flow.yml", folder)
        (folder / ".metaflow").mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("METAFLOW", "DBT_", "PYTEST"))}
        more = {"USERNAME": "tester", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "CARRIER_FILES_URL": files.url}
        self.env = {**kept, **more, "METAFLOW_HOME": str(folder / ".metaflowconfig"), "CHAIN": str(folder)}
        self.edit("training/ingest_carrier_files.py", "America/Chicago", "UTC")
        (count,) = (
            text for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "class CountShippers" in text
        )
        (folder / "training/count_shippers.py").write_text(count)
        (folder / "training/price_fuel.py").write_text(PRICE_FUEL)
        more_flows = "  training/count_shippers.py: ml-platform\n  training/price_fuel.py: risk-analytics\n"
        self.edit("dbt_flow.yml", "\nowners:", f"{more_flows}\nowners:")
        self.settings = load_settings(start=folder, environ={})

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def was_due(self) -> None:
        """The day's ingestion was due while no server was there: it is made up as soon as one is."""
        log = EventLog(self.settings.state)
        with log.transaction():
            log.put_cursor("schedule.IngestCarrierFiles", (datetime.now(timezone.utc) - timedelta(hours=24)).isoformat())
            log.put_cursor("crons.IngestCarrierFiles", "30 5 * * * | UTC")
        log.close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database says, or is told, while no run has it."""
        database = self.folder / "dbt_project/freight.duckdb"
        with database_lock(database, "a test", print), duckdb.connect(str(database)) as connection:
            return connection.execute(sql).fetchall()

    def receipts(self, dag: str) -> list[dict[str, Any]]:
        """Of its runs, the oldest first."""
        return [json.loads(file.read_text()) for file in sorted(self.folder.glob(f".dbt_flow/runs/dev/{dag}/*/receipt.json"))]

    def call(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def serve(self) -> None:
        with (self.folder / "serve.log").open("wb") as log:
            command = [sys.executable, "-m", "dbt_flow", "serve", "--port", "0"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=subprocess.STDOUT)
        self.wait(lambda: running_at(self.settings) is not None)

    def why_held(self, name: str) -> str:
        """What the page of the server says of a held flow."""
        return EventLog(self.settings.state, readonly=True).cursor(f"needs.why.{name}") or ""

    def rows(self) -> dict[str, list[str | None]]:
        found: dict[str, list[str | None]] = {}
        for row in reversed(EventLog(self.settings.state, readonly=True).recent(limit=100)):
            found.setdefault(row.subscriber, []).append(row.status)
        return found

    def wait(self, until: Callable[[], bool], seconds: float = 1200) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            log = (self.folder / "serve.log").read_text()
            assert time.monotonic() < deadline and self.process.poll() is None, log
            bad = {name for name, statuses in self.rows().items() if "failed" in statuses}
            assert bad <= self.may_fail, log
            time.sleep(0.3)

    def close(self) -> None:
        for process in psutil.process_iter():
            try:
                if process.environ().get("CHAIN") == str(self.folder):
                    process.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    with serving(Files([])) as files, hooked(Hook([500])) as hook:
        found = Chain(tmp_path, files)
        found.env["DEPLOY_WEBHOOK_URL"] = hook.url
        found.hook = hook
        found.call("dbt_project/raw_data/generate.py", "--scale", "0.15")
        rows = found.query("select region, week_start, price_usd from raw.fuel_prices")
        files.rows = [{"region": region, "week_start": str(week), "price_usd": str(price)} for region, week, price in rows]
        yield found
        found.close()


def test_from_a_schedule_to_a_deployed_variant(chain: Chain) -> None:
    # The files are late: the first attempt gives up, and writes nothing; the second finds them.
    chain.edit("training/ingest_carrier_files.py", "default=900.0", "default=3.0")
    chain.files.trouble = lambda number, asked, page: (503, b"") if asked < 3 and number == 2 else None
    chain.was_due()
    chain.serve()
    chain.wait(lambda: chain.rows().get("DeployModel") == ["success"])
    for name in ("IngestCarrierFiles", "carrier_reference", "carrier_safety", "carrier_risk", "TrainCarrierRisk"):
        assert chain.rows()[name] == ["success"], name
    attempts = [*chain.folder.glob(".metaflow/IngestCarrierFiles/*/start/1/_meta/*sysmeta_attempt_ok_*")]
    assert len(attempts) == 2
    registry = chain.folder / "training/registry/carrier_risk"
    about = json.loads((registry / "live/about.json").read_text())
    assert about["kind"] == "replace" and not (registry / "variants").exists()
    (receipt,) = chain.receipts("carrier_risk")
    assert about["receipts"] == {receipt["run"]: receipt["digest"]}

    # Built once more, with nothing new in it: the model is as good as the live one, and runs beside it.
    chain.call("-m", "dbt_flow", "run", "carrier_risk")
    chain.wait(lambda: chain.rows().get("DeployModel") == ["success"] * 2)
    (variant,) = (registry / "variants").iterdir()
    assert json.loads((registry / "live/about.json").read_text()) == about and variant.name != about["version"]
    # The CI system was down when the first was told; that one is live all the same, and is told no more.
    assert [(said["version"], said["kind"]) for said in chain.hook.heard] == [
        (about["version"], "replace"),
        (variant.name, "variant"),
    ]

    tree = chain.call("-m", "dbt_flow", "trace", f"carrier_risk:{about['version']}")
    for word in ("CarrierSafety/", "CarrierReference/", "fuel_prices", "as replace by DeployModel/", receipt["run"]):
        assert word in tree, tree
    down = json.loads(chain.call("-m", "dbt_flow", "trace", "fct_trips", "--json"))["down"]
    assert json.dumps(down).count('"deployment"') >= 1 and date.today().isoformat()[:4] in json.dumps(down)

    held_mended_and_rebuilt(chain)


def held_mended_and_rebuilt(chain: Chain) -> None:
    """The same chain goes on with a bad row."""
    chain.wait(lambda: chain.rows()["CountShippers"] == chain.rows()["PriceFuel"] == ["success"])
    trained = len(chain.rows()["TrainCarrierRisk"])
    good = chain.files.rows
    chain.files.rows, chain.files.as_of = [*good[:-1], {**good[-1], "price_usd": "99.0"}], "2026-11-22"
    chain.may_fail = frozenset({"carrier_reference"})
    chain.call("training/ingest_carrier_files.py", "--no-pylint", "run")
    chain.wait(lambda: chain.rows()["carrier_reference"] == ["success", "failed"] and bool(chain.why_held("PriceFuel")))
    # What reads the bad table is held, and says why; what reads another starts; nothing is trained or deployed.
    chain.wait(lambda: chain.rows()["CountShippers"] == ["success"] * 2)
    why = chain.why_held("PriceFuel")
    assert "fct_fuel_prices is skipped" in why and "in_range_stg_fuel__prices_price_usd_per_gallon" in why
    assert chain.rows()["PriceFuel"] == ["success"] and len(chain.rows()["TrainCarrierRisk"]) == trained

    # Files that never come change nothing.
    chain.files.trouble = lambda number, asked, page: (503, b"")
    chain.call("training/ingest_carrier_files.py", "--no-pylint", "run", "--patience", "0.1", code=1)
    assert chain.query("select count(*) from raw.fuel_prices") == [(len(good),)]

    # The row is mended, and a retry starts what was held; its table is built anew while it reads, so it reads again.
    bad = chain.receipts("carrier_reference")[-1]["run"]
    chain.query("update raw.fuel_prices set price_usd = 3.5 where price_usd > 90")
    (chain.folder / "rebuild").touch()
    chain.call("-m", "dbt_flow", "retry", bad)
    chain.wait(lambda: chain.rows()["PriceFuel"][:2] == ["success"] * 2)
    first, second = (line.split() for line in (chain.folder / "priced").read_text().splitlines()[:2])
    runs = [receipt["run"] for receipt in chain.receipts("carrier_reference")]
    assert float(first[0]) < 9 and float(second[0]) < 9
    assert (runs.index(first[1]), runs.index(bad), runs.index(second[1])) == (0, 1, 3), "neither the bad one nor the retry"
    numbers = sorted(file.name for file in chain.folder.glob(".metaflow/PriceFuel/[0-9]*"))
    assert len([*chain.folder.glob(f".metaflow/PriceFuel/{numbers[1]}/start/1/_meta/*sysmeta_attempt_ok_*")]) == 2
