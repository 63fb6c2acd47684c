"""The wiring of ``docker-compose.yml``, started by hand: PostgreSQL, S3, a UDP listener for the agent, and ``serve``.

``serve`` gets the variables that the compose file gives it, with the addresses of what stands in for the other services.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers.moto import BUCKET, Moto, moto_server
from servers.postgres import Database, binaries, server

COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text(encoding="utf-8"))
TOKEN = "a-token-for-serve-5512"
WITHIN = 300.0


def until(happened: Callable[[], Any], process: subprocess.Popen[bytes], log: Path) -> Any:
    """Wait for something, while ``serve`` runs."""
    end = time.monotonic() + WITHIN
    while not (found := happened()):
        said = log.read_text(errors="replace")
        assert process.poll() is None, f"serve ended:\n{said}"
        assert time.monotonic() < end, f"it never happened:\n{said}"
        time.sleep(0.2)
    return found


class Agent(threading.Thread):
    """Stands where the Datadog agent stands."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.heard: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.start()

    def run(self) -> None:
        with suppress(OSError):  # closed
            while True:
                self.heard += self.socket.recv(65_536).decode().splitlines()


def project(folder: Path) -> None:
    files = {
        "dbt_project.yml": "name: freight\nprofile: freight\nversion: '1.0'\nflags: {send_anonymous_usage_stats: false}\n",
        "dags/loads.yaml": "owner: carrier-data\ntrigger: {event: loads_landed}\nselect: '*'\n",
        "dags/report.yaml": "owner: risk-analytics\ntrigger: {after: loads}\nselect: loads\n",
        "seeds/landed.csv": "id,miles\n1,100\n2,250\n",
        "models/loads.sql": "select id, miles from {{ ref('landed') }}\n",
        "models/schema.yml": "models:\n- name: loads\n  columns: [{name: id, data_tests: [unique, not_null]}]\n",
    }
    # The example's own profile, with a database that asks for no password.
    profile = (Path(__file__).parents[2] / "dbt_project/profiles.yml").read_text(encoding="utf-8")
    for name, text in {**files, "profiles.yml": profile}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def environment(aws: Moto, database: Database, agent: Agent, home: Path) -> dict[str, str]:
    """What the compose file gives ``serve``; where it names another service, the stand-in's address."""
    said: dict[str, str] = COMPOSE["services"]["serve"]["environment"]
    given = {"FREIGHT_SERVE_TOKEN": TOKEN, "FREIGHT_POSTGRES_PASSWORD": "asked-by-nobody-8812"}
    given |= {"FREIGHT_S3_USER": "testing", "FREIGHT_S3_PASSWORD": "moto-asks-for-some"}
    found = {name: re.sub(r"\$\{(\w+)[^}]*\}", lambda match: given[match[1]], str(value)) for name, value in said.items()}
    found = {name: value.replace("http://s3:9000", aws.url) for name, value in found.items()}
    found |= {
        "FREIGHT_POSTGRES_HOST": "127.0.0.1",
        "FREIGHT_POSTGRES_PORT": str(database.port),
        "FREIGHT_POSTGRES_USER": "bench",
    }
    found |= {
        "FREIGHT_POSTGRES_DATABASE": database.name,
        "DD_DOGSTATSD_URL": f"udp://127.0.0.1:{agent.socket.getsockname()[1]}",
    }
    found |= {"METAFLOW_DEFAULT_METADATA": "local", "AWS_DEFAULT_REGION": "eu-central-1"}  # there is no metadata service here
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "NO_COLOR": "1"}
    return {**kept, **found}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Moto, Database, Agent, Callable[[Any], Any]]]:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path_factory.mktemp("stack")
    project(folder)
    agent, log = Agent(), folder / "serve.log"
    with moto_server(folder) as aws, server(30) as port, log.open("wb") as out:
        database = Database(port).sibling("freight")
        env = environment(aws, database, agent, folder / "home")
        command = [sys.executable, "-m", "dbt_flow", "serve", "--port", "0", "--drain", "5"]
        process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            url = until(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()), process, log)[0]
            yield url, aws, database, agent, lambda happened: until(happened, process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            agent.socket.close()


def asked(url: str, path: str, body: dict[str, Any] | None = None, token: str = TOKEN) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def test_an_event_becomes_tables_records_and_metrics(stack: Any) -> None:
    url, aws, database, agent, wait = stack
    assert json.loads(asked(url, "/healthz"))["status"] == "ok"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        asked(url, "/", token="a-guess")
    asked(url, "/metaflow-event", {"name": "loads_landed", "payload": {"name": "loads_landed", "id": "1"}})

    def ended() -> dict[str, Any]:
        found = {}
        for key, value in aws.objects("dbt-flow/runs/postgres/").items():
            if key.endswith("/result.json"):
                found[key.split("/")[3]] = json.loads(value)
        return found if {"loads", "report"} <= set(found) else {}

    results = wait(ended)
    assert {name: result["status"] for name, result in results.items()} == {"loads": "success", "report": "success"}
    assert database.sql("select count(*), sum(miles) from analytics.loads") == [(2, 350)]
    assert any(key.endswith(".html") for key in aws.objects("metaflow/mf.cards/Loads/")), "the card, in Metaflow's datastore"
    heard = wait(lambda: [line for line in agent.heard if line.startswith("dbt_flow.dag.runs") and "dag:report" in line])
    assert any("env:local" in line for line in heard)
    assert "report" in wait(lambda: asked(url, "/"))
    everything = b"".join(aws.objects().values())
    assert b"asked-by-nobody-8812" not in everything and TOKEN.encode() not in everything
    assert BUCKET == "freight", "the bucket of the compose file"
