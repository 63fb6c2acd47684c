"""The whole chain by ``dbt-flow serve``, from a schedule: files, three DAGs, a model, its deployment; then a variant."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import psutil
import pytest
from loopback_files import Files, serving

from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.runtime import running_at
from dbt_flow.settings import load_settings

pytest.importorskip("sklearn")
pytest.importorskip("pandas")
ROOT = Path(__file__).parents[2]


class Chain:
    """A copy of the example, and the server over it."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        for name in ("dags", "training", "dbt_project"):
            leave = shutil.ignore_patterns("target", "logs", "*.duckdb*", ".*", "__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=leave)
        shutil.rmtree(folder / "training/registry", ignore_errors=True)
        shutil.copy(ROOT / "dbt_flow.yml", folder)
        (folder / ".metaflow").mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("METAFLOW", "DBT_", "PYTEST"))}
        more = {"USERNAME": "tester", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "CARRIER_FILES_URL": files.url}
        self.env = {**kept, **more, "METAFLOW_HOME": str(folder / ".metaflowconfig"), "CHAIN": str(folder)}
        self.edit("dags/carrier_reference.yaml", 'trigger: {schedule: "0 6 * * *"}', "trigger: {after: IngestCarrierFiles}")

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def at_the_next_minute(self) -> None:
        """The ingestion is due once, soon, on its own schedule; again, if the server had not read the file by then."""
        cron = 'cron="30 5 * * ? *", timezone="America/Chicago"'
        while "IngestCarrierFiles" not in self.rows():
            soon = datetime.now(timezone.utc) + timedelta(seconds=75)
            due = f'cron="{soon.minute} {soon.hour} {soon.day} {soon.month} ? *"'
            self.edit("training/ingest_carrier_files.py", cron, due)
            cron, over = due, soon.replace(second=0) + timedelta(seconds=90)
            self.wait(lambda over=over: "IngestCarrierFiles" in self.rows() or datetime.now(timezone.utc) > over)  # type: ignore[misc]

    def call(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def serve(self) -> None:
        with (self.folder / "serve.log").open("wb") as log:
            command = [sys.executable, "-m", "dbt_flow", "serve", "--port", "0"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=subprocess.STDOUT)
        self.settings = load_settings(start=self.folder, environ={})
        self.wait(lambda: running_at(self.settings) is not None)

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
    with serving(Files([])) as files:
        found = Chain(tmp_path, files)
        found.call("dbt_project/raw_data/generate.py", "--scale", "0.15")
        with duckdb.connect(str(tmp_path / "dbt_project/freight.duckdb"), read_only=True) as connection:
            rows = connection.execute("select region, week_start, price_usd from raw.fuel_prices").fetchall()
        files.rows = [{"region": region, "week_start": str(week), "price_usd": str(price)} for region, week, price in rows]
        files.trouble = lambda number, asked, page: (503, b"") if asked == 0 and number == 2 else None
        yield found
        found.close()


def test_from_a_schedule_to_a_deployed_variant(chain: Chain) -> None:
    chain.serve()
    chain.at_the_next_minute()
    chain.wait(lambda: chain.rows().get("DeployModel") == ["success"])
    for name in ("IngestCarrierFiles", "carrier_reference", "carrier_safety", "carrier_risk", "TrainCarrierRisk"):
        assert chain.rows()[name] == ["success"], name
    registry = chain.folder / "training/registry/carrier_risk"
    about = json.loads((registry / "live/about.json").read_text())
    assert about["kind"] == "replace" and not (registry / "variants").exists()
    (receipt,) = (json.loads(file.read_text()) for file in chain.folder.glob(".dbt_flow/runs/dev/carrier_risk/*/receipt.json"))
    assert about["receipts"] == {receipt["run"]: receipt["digest"]}

    # Built once more, with nothing new in it: the model is as good as the live one, and runs beside it.
    chain.call("-m", "dbt_flow", "run", "carrier_risk")
    chain.wait(lambda: chain.rows().get("DeployModel") == ["success"] * 2)
    (variant,) = (registry / "variants").iterdir()
    assert json.loads((registry / "live/about.json").read_text()) == about and variant.name != about["version"]

    tree = chain.call("-m", "dbt_flow", "trace", f"carrier_risk:{about['version']}")
    for word in ("CarrierSafety/", "CarrierReference/", "fuel_prices", "as replace by DeployModel/", receipt["run"]):
        assert word in tree, tree
    down = json.loads(chain.call("-m", "dbt_flow", "trace", "fct_trips", "--json"))["down"]
    assert json.dumps(down).count('"deployment"') >= 1 and date.today().isoformat()[:4] in json.dumps(down)
