"""A tiny shop: a real dbt project on DuckDB whose models can be told, while a run goes on, to take their time or to fail.

:func:`open_shop` writes it into a folder. :class:`Shop` runs DAGs of it through the front door (``dbt-flow run``) or any other,
as child processes, and reads what they left: the database, the state folder, Metaflow's records, the processes that live on.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psutil
import yaml
from shop_files import CONTROL, CONTROLLED, MODELS, SCHEMA

FLOW_FILE = Path(__file__).parent.parent / "dbt_flow" / "flows" / "dag.py"
MARK = "SHOP_MARK"
"""An environment variable that every process of a shop's runs bears: what lives on can be found by it."""

MADE_HERE = {"owner": "shopkeepers", "trigger": "none"}


def open_shop(folder: Path, *, bad: tuple[str, ...] = (), dags: Mapping[str, Mapping[str, Any]] | None = None) -> Shop:
    """Write the project into ``folder``.

    :param bad: what is wrong with it: ``amount`` (a null), ``orphan`` (a broken relationship), ``unit``, ``name`` (a warning)
    :param dags: DAG files by name, beside the one named ``shop`` that builds everything
    """
    shop = Shop(folder)
    outputs = {name: {"type": "duckdb", "path": f"{name}.duckdb", "threads": 2} for name in ("dev", "prod")}
    stock(shop, outputs, bad=bad, dags=dags)
    return shop


def stock(
    shop: Shop,
    outputs: Mapping[str, Mapping[str, Any]],
    *,
    macros: str = CONTROL,
    bad: tuple[str, ...] = (),
    dags: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write the project into a shop's folder, as :func:`open_shop` does, for these outputs of its profile.

    :param macros: ``control()``, as the outputs' adapter has it
    """
    orders = ["1,1,10", "2,2,20", "3,1,30"]
    orders += ["4,2,"] if "amount" in bad else []
    orders += ["5,77,5"] if "orphan" in bad else []
    names = ["1,Ann", "2,Bob", "3," if "name" in bad else "3,Cy"]
    hook = "insert into audit select 'WHAT', '{{ invocation_id }}', {{ control('HOOK') }}"
    project = {
        "name": "shop",
        "version": "1.0",
        "profile": "shop",
        "flags": {"send_anonymous_usage_stats": False},
        "on-run-start": [
            "create table if not exists audit (what varchar, run varchar, told varchar)",
            hook.replace("WHAT", "start").replace("HOOK", "on_run_start"),
        ],
        "on-run-end": [hook.replace("WHAT", "end").replace("HOOK", "on_run_end")],
    }
    files: dict[str, str] = {
        "dbt_project.yml": yaml.safe_dump(project, sort_keys=False, width=500),
        "profiles.yml": yaml.safe_dump({"shop": {"target": "dev", "outputs": dict(outputs)}}),
        "seeds/customers.csv": "\n".join(["id,name", *names]) + "\n",
        "seeds/orders.csv": "\n".join(["id,customer_id,amount", *orders]) + "\n",
        "macros/control.sql": macros,
        "models/schema.yml": SCHEMA.replace("EXPECTED", "6" if "unit" in bad else "5"),
        **{f"models/{name}.sql": text + "\n" for name, text in MODELS.items()},
        **{f"control/{name}.sleep": "0" for name in CONTROLLED},
    }
    for name, text in files.items():
        path = shop.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name, keys in {"shop": {"select": "*"}, **(dags or {})}.items():
        shop.dag(name, **keys)


@dataclass
class Shop:
    """The project in ``folder``, and everything that was run in it."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    # ---- telling it what to do

    def dag(self, name: str, **keys: Any) -> Path:
        """Write a DAG file."""
        path = self.folder / "dags" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({**MADE_HERE, **keys}, sort_keys=False), encoding="utf-8")
        return path

    def control(self, name: str, *, sleep: float = 0.0, fail: bool = False) -> None:
        """From now on ``name`` takes ``sleep`` seconds, or fails."""
        (self.folder / f"control/{name}.sleep").write_text(str(int(sleep * 1000)))
        path = self.folder / f"control/{name}.fail"
        path.touch() if fail else path.unlink(missing_ok=True)

    # ---- running

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """As on a machine where nothing is set, with a user's name, since Metaflow asks for one."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("METAFLOW", "DBT_", "PYTEST"))}
        kept |= {"USERNAME": "tester", MARK: self.mark, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "NO_COLOR": "1"}
        return {**kept, "METAFLOW_HOME": str(self.folder / ".metaflowconfig"), **(more or {})}

    def start(self, *command: str, env: Mapping[str, str] | None = None) -> Started:
        """Start a command in the project's folder."""
        logs = self.folder / "logs_of_tests"
        logs.mkdir(exist_ok=True)
        return Started(self, command, self.environment(env), logs / uuid.uuid4().hex)

    def run(self, dag: str = "shop", *words: str, env: Mapping[str, str] | None = None) -> Ran:
        """``dbt-flow run FILE --project-dir DIR --json``, to its end."""
        return self.start(*self.command(dag, *words), env=env).end()

    def command(self, dag: str = "shop", *words: str) -> tuple[str, ...]:
        """The front door's command line."""
        file = str(self.folder / "dags" / f"{dag}.yaml")
        return (sys.executable, "-m", "dbt_flow", "run", file, "--project-dir", str(self.folder), "--json", *words)

    def metaflow(self, dag: str, *words: str) -> tuple[str, ...]:
        """The command line of the bare flow file."""
        return (sys.executable, str(FLOW_FILE), "--no-pylint", "--config", "dag", f"dags/{dag}.yaml", *words)

    def python(self, program: str, *words: str) -> Any:
        """What a Python program prints, as JSON: in a process of its own, since Metaflow reads its surroundings once."""
        done = self.start(sys.executable, "-c", program, *words).end()
        assert done.code == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def dbt_build(self, *words: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """What plain ``dbt build`` makes of it: statuses by id."""
        done = self.start(
            sys.executable, "-c", "import sys; from dbt.cli.main import cli; cli(sys.argv[1:])", "build", *words, env=env
        ).end()
        document = json.loads((self.folder / "target/run_results.json").read_text())
        assert done.code in (0, 1), done.stderr
        return {entry["unique_id"]: entry["status"] for entry in document["results"]}

    # ---- what is there afterwards

    def query(self, sql: str, target: str = "dev") -> list[tuple[Any, ...]]:
        """What the database says."""
        connection = duckdb.connect(str(self.folder / f"{target}.duckdb"), read_only=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def processes(self) -> list[psutil.Process]:
        """Every process of the shop's runs that is alive."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def close(self) -> None:
        """Nothing lives on, and no file stays: each is a few megabytes."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def none_left(self, within: float = 60.0) -> list[str]:
        """The processes that do not go away: it must be an empty list."""
        until = time.monotonic() + within
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.1)
        return [f"{process.pid} {process.cmdline()}" for process in left]

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / ".dbt_flow"

    def run_folder(self, run: str, dag: str | None = None) -> Path:
        """The record of a run (``Shop/12``)."""
        [found] = self.state.glob(f"runs/*/{dag or '*'}/{run.rpartition('/')[2]}")
        return found

    def kept(self, run: str, name: str) -> Any:
        """A JSON document of a run's record."""
        return json.loads((self.run_folder(run) / name).read_text())

    def told_by_metaflow(self, *runs: str) -> dict[str, dict[str, Any]]:
        """What Metaflow's Client says of runs: success, tags, the result artifact, and the cards of the task."""
        found: dict[str, dict[str, Any]] = self.python(_CLIENT, *runs)
        return found


_CLIENT = """
import json, sys
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
told = {}
for name in sys.argv[1:]:
    run = Run(name)
    task = run["end"].task
    cards = [{"type": card.type, "html": card.get()} for card in get_cards(task)]
    data = task.data.result if "result" in task else None
    told[name] = {"successful": run.successful, "finished": run.finished, "tags": sorted(run.tags), "task": task.pathspec,
                  "result": data, "cards": cards}
print(json.dumps(told))
"""


@dataclass
class Ran:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """The document on stdout."""
        try:
            document: dict[str, Any] = json.loads(self.stdout)
        except ValueError:
            raise AssertionError(f"exit {self.code}, no JSON:\n{self.stdout}\n{self.stderr}") from None
        return document

    @property
    def statuses(self) -> dict[str, str]:
        """Node statuses by the node's short name: ``slow``, ``not_null_report_total``."""
        return {short(node["id"]): node["status"] for node in self.json["nodes"]}

    def node(self, name: str) -> dict[str, Any]:
        """One node of the document."""
        return next(node for node in self.json["nodes"] if short(node["id"]) == name)


class Started:
    """A command that runs."""

    def __init__(self, shop: Shop, command: tuple[str, ...], env: Mapping[str, str], log: Path) -> None:
        self.shop = shop
        self.began = time.monotonic()
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                cwd=shop.folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def stderr(self) -> str:
        """What it has said so far."""
        return self._err.read_text(errors="replace")

    def end(self, within: float = 300.0) -> Ran:
        """Wait for it; one that does not end is killed, with all it started, and the test fails."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            for process in self.shop.processes():
                process.kill()
            raise AssertionError(f"not ended after {within} s:\n{self.stderr}") from None
        return Ran(code, self._out.read_text(), self.stderr, time.monotonic() - self.began)

    def until(self, happened: Callable[[], Any], within: float = 180.0) -> Any:
        """Wait for something, while it runs."""
        while not (found := happened()):
            assert time.monotonic() - self.began < within, f"it never happened:\n{self.stderr}"
            assert self.process.poll() is None, f"ended too early:\n{self._out.read_text()}\n{self.stderr}"
            time.sleep(0.05)
        return found

    def builds(self, node: str, dag: str = "shop") -> Built:
        """Wait until the newest run of the DAG is building a node; gives who does it."""
        return self.until(lambda: self._building(node, dag))

    def _building(self, node: str, dag: str) -> Built | None:
        for log in self.shop.state.glob(f"runs/*/{dag}/*/attempt-*.jsonl"):
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            if any(line.get("start", "").endswith(f".{node}") for line in lines):
                with suppress(psutil.NoSuchProcess):  # an earlier run's
                    step = psutil.Process(lines[0]["pid"])
                    if step.status() != psutil.STATUS_ZOMBIE:
                        launcher = psutil.Process(lines[0]["launcher"]["pid"])
                        return Built(lines[0]["run"], step, launcher, log.parent)
        return None


@dataclass
class Built:
    """A run in the middle."""

    run: str
    step: psutil.Process
    launcher: psutil.Process
    folder: Path

    def ended(self) -> list[str]:
        """The nodes that have ended so far, by short name."""
        lines = [json.loads(line) for log in self.folder.glob("attempt-*.jsonl") for line in log.read_text().splitlines()]
        return [short(line["end"]["id"]) for line in lines if "end" in line]


def short(node: str) -> str:
    """``model.shop.slow`` is ``slow``; a generic test loses its hash."""
    parts = node.split(".")
    return parts[-1] if parts[0] == "unit_test" else parts[2]


SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
