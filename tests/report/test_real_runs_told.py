"""Real runs, as a person starts them: told over real sockets, by a sender that nobody waits for; and no secret anywhere."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from shop import Shop
from told_shop import ROUTING_KEY, Listening, open_told, until, who_listens
from udp_listeners import udp_agent


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = open_told(tmp_path / "shop")
    yield opened
    opened.close()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    with who_listens(tmp_path) as found:
        yield found


def test_a_failure_is_paged_and_its_end_too(shop: Shop, listening: Listening) -> None:
    duty, hook, environ = listening
    shop.control("flaky", fail=True)
    duty.moods = [500]  # the first try fails; the sender goes on by itself
    with udp_agent() as agent:
        ran = shop.run("shop", "--print-metrics", env={**environ, "DD_DOGSTATSD_URL": agent.address})
        assert ran.code == 1
        assert any(line.startswith("dbt_flow.dag.runs:1|c|#") for line in agent.lines())
    assert "dbt_flow.dag.cpu" in ran.stderr
    assert until(lambda: duty.open)
    (event,) = duty.events
    assert event["dedup_key"] == "dbt_flow/shop/dev/shop/model.shop.flaky"
    details = event["payload"]["custom_details"]
    run = ran.json["run"]
    assert (details["retry"], details["owner"]) == (f"dbt-flow retry {run}", "shopkeepers")
    assert details["blocks"] == "1: after_flaky"
    assert event["links"] == [{"href": f"https://cards.example/dev/shop/{run.partition('/')[2]}", "text": "Card"}]
    assert until(lambda: hook.requests)
    assert "flaky" in hook.requests[0].body["title"]
    shop.control("flaky")
    assert shop.run(env=environ).code == 0
    assert until(lambda: not duty.open)
    assert [event["event_action"] for event in duty.events] == ["trigger", "resolve"]
    assert until(lambda: not list((shop.state / "outbox/waiting").iterdir()))


def test_when_nobody_listens_the_run_is_the_same_and_the_page_waits(shop: Shop, listening: Listening) -> None:
    duty, _, environ = listening
    shop.control("flaky", fail=True)
    nobody = {"DD_AGENT_HOST": "127.0.0.1", "DBT_FLOW_PAGERDUTY_URL": "https://127.0.0.1:9", "PD_SHOP": ROUTING_KEY}
    down = shop.run(env={**nobody, "HOOK_SHOP": "http://127.0.0.1:9"})
    assert down.code == 1
    assert down.statuses["flaky"] == "error"
    assert len(list((shop.state / "outbox/waiting").iterdir())) == 2
    _end_senders(shop)
    flush = (sys.executable, "-m", "dbt_flow", "--root", str(shop.folder), "alerts", "flush")
    done = shop.start(*flush, env=environ).end()
    assert (done.code, done.stdout.strip()) == (0, "2 sent, 0 waiting")
    assert duty.open == {"dbt_flow/shop/dev/shop/model.shop.flaky"}


def _end_senders(shop: Shop) -> None:
    """End this shop's detached senders, which would go on for two minutes."""
    for process in shop.processes():
        if "dbt_flow.report.sender" in " ".join(process.cmdline()):
            process.kill()
            psutil.wait_procs([process], timeout=60)


def test_a_task_that_is_killed_is_told(shop: Shop, listening: Listening) -> None:
    duty, _, environ = listening
    shop.control("slow", sleep=600)
    started = shop.start(*shop.command(), env=environ)
    try:
        pattern = "runs/*/shop/*/attempt-0.jsonl"
        assert until(lambda: any('"start":"model.shop.slow"' in file.read_text() for file in shop.state.glob(pattern)))
        (log,) = shop.state.glob(pattern)
        header = json.loads(log.read_text().splitlines()[0])
        psutil.Process(header["pid"]).kill()
    finally:
        ran = started.end()
    assert ran.code == 1
    assert until(lambda: duty.open)
    assert duty.open == {"dbt_flow/shop/dev/shop/run"}
    assert duty.events[0]["payload"]["severity"] == "critical"


PLANTED = {
    "WAREHOUSE_PASSWORD": "pl4nted-warehouse-passw0rd",
    "DBT_ENV_SECRET_GIT": "pl4nted-dbt-env-secret",
    "PARTNER_TOKEN": "pl4nted-partner-t0ken",
    "SIGNING_KEY": 'pl4nted "quoted" \\ key',
}
LITERAL = "pl4nted-in-the-profile"
PLUGIN = """
from dbt.adapters.duckdb.plugins import BasePlugin
class Plugin(BasePlugin):
    def initialize(self, config):
        assert config["password"] and config["token"]
"""
LEAK = """{{ config(materialized='table', meta={'with': env_var('PARTNER_TOKEN')}) }}
select error('cannot log in with {{ env_var("WAREHOUSE_PASSWORD") }} and {{ env_var("SIGNING_KEY") | replace("'", "") }}'
  || ' nor with LEFT' || 'RIGHT, {{ env_var("PARTNER_TOKEN") }}') as x
""".replace("LEFT", LITERAL[:9]).replace("RIGHT", LITERAL[9:])
DESCRIBED = """
models:
  - name: leak
    description: "calls the partner with {{ env_var('PARTNER_TOKEN') }}"
"""


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file, as it is and unpacked, as far as it can be."""
    for file in folder.rglob("*"):
        if file.is_file():
            raw = file.read_bytes()
            yield str(file), raw
            for unpack in (gzip.decompress, zlib.decompress):
                try:
                    yield f"{file} unpacked", unpack(raw)
                except (OSError, zlib.error, EOFError):
                    continue


def test_no_secret_anywhere(tmp_path: Path, listening: Listening) -> None:
    """Of the environment, of the profile, in a model, in a description: nowhere."""
    duty, hook, environ = listening
    shop = open_told(tmp_path / "shop", **{"models/leak.sql": LEAK, "models/leak.yml": DESCRIBED, "plugins/vault.py": PLUGIN})
    fields = {"password": "{{ env_var('DBT_ENV_SECRET_GIT') }}", "token": LITERAL}
    output = {"type": "duckdb", "path": "dev.duckdb", "module_paths": ["plugins"]}
    output["plugins"] = [{"module": "vault", "config": fields}]
    (shop.folder / "profiles.yml").write_text(yaml.safe_dump({"shop": {"target": "dev", "outputs": {"dev": output}}}))
    with udp_agent() as agent:
        ran = shop.run("shop", "--print-metrics", env={**environ, **PLANTED, "DD_DOGSTATSD_URL": agent.address})
        sent = "\n".join(agent.datagrams())
    assert ran.code == 1, ran.stderr
    said = ran.node("leak")["reason"]
    assert "cannot log in with *****" in said, said
    assert until(lambda: duty.events and hook.requests and not list((shop.state / "outbox/waiting").iterdir()))
    pages = [{key: value for key, value in event.items() if key != "routing_key"} for event in duty.events]
    told = {"metrics": sent, "pages": str(pages), "messages": str(hook.requests[0].body), "terminal": ran.stdout + ran.stderr}
    secrets = {*PLANTED.values(), LITERAL, ROUTING_KEY, "h00k-s3cr3t-p4th"}
    forms = {form for secret in secrets for form in (secret, secret.replace("\\", "\\\\").replace('"', '\\"'))}
    found = [(where, form) for where, text in told.items() for form in forms if form in text]
    looked = [*everything(shop.state), *everything(shop.folder / ".metaflow")]
    found += [(where, form) for where, raw in looked for form in forms if form.encode() in raw]
    assert found == []
    assert {"card.html", "result.json", "plan.json", "metaflow.log"} <= {Path(where).name for where, _ in looked}
    assert any(where.endswith(".msgpack") for where, _ in looked)
    assert any("manifests" in where for where, _ in looked)
    assert "cannot log in" in told["metrics"]  # it is there, and only the secrets are not
    shop.close()
