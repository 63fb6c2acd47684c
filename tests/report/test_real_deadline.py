"""A real run with ``done_by`` and ``require_fresh``: at risk, late and good again are told, and how old its source is."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import yaml
from shop import Shop, Started
from told_shop import LOUD, open_told, until, who_listens
from udp_listeners import udp_agent

from dbt_flow.records import NodeResult, utc_moment
from dbt_flow.state.durations import learn_durations
from dbt_flow.state.store import FolderStore

SOURCES = {
    "sources": [
        {
            "name": "raw",
            "schema": "main",
            "tables": [
                {"name": "landed", "loaded_at_field": "landed_at", "freshness": {"error_after": {"count": 9, "period": "hour"}}}
            ],
        }
    ]
}


def started_before_its_deadline(shop: Shop, environ: dict[str, str]) -> tuple[Started, str, datetime]:
    """A run that is due in a minute or two, and was there when there was still time: tried with more time if it was not."""
    for margin in (20, 90, 300):
        name = f"due_{margin}"
        due = (datetime.now(timezone.utc) + timedelta(seconds=margin + 60)).replace(second=0, microsecond=0)
        keys = {"select": "+after_slow", "exclude": "test_name:relationships", "require_fresh": "source:raw"}
        shop.dag(name, **{**LOUD, **keys, "done_by": f"{due:%H:%M}"})
        started = shop.start(*shop.command(name, "--print-metrics"), env=environ)
        built = started.builds("slow", name)
        header = json.loads((built.folder / "attempt-0.jsonl").read_text().splitlines()[0])
        if utc_moment(header["started"]) < due - timedelta(seconds=5):
            return started, name, due
        built.step.terminate()
        started.end()
    raise AssertionError("this machine does not come to build anything")


def test_at_risk_late_and_good_again(tmp_path: Path) -> None:
    shop = open_told(tmp_path / "shop", **{"models/sources.yml": yaml.safe_dump(SOURCES)})
    with duckdb.connect(str(shop.folder / "dev.duckdb")) as database:
        database.execute("create table landed as select now()::timestamp - interval 2 hour as landed_at, 1 as id")
    shop.control("slow", sleep=3600)
    learn_durations(FolderStore(shop.state), "dev", [NodeResult("model.shop.slow", "success", seconds=3 * 3600.0)])
    with who_listens(tmp_path) as (duty, hook, environ), udp_agent() as agent:
        environ["DD_DOGSTATSD_URL"] = agent.address
        started, name, due = started_before_its_deadline(shop, environ)
        risk = f"due by {due:%H:%M}; the longest that is left is slow, which usually takes 3 h"
        assert until(lambda: any(risk in str(request.body) for request in hook.requests)), started.stderr
        said = f"{name}: it is late: due by {due:%H:%M}, and still running"
        late = until(lambda: [event for event in duty.events if said in str(event)], within=900)[0]
        assert datetime.now(timezone.utc) >= due, "a risk alone pages nobody"
        assert (late["payload"]["component"], late["payload"]["group"]) == (name, "shopkeepers")
        started.process.terminate()
        assert "it is late" in started.end().stderr
        agent.lines()
        shop.control("slow")
        good = shop.run(name, "--print-metrics", env=environ)
        assert (good.code, good.json["status"]) == (0, "success"), good.stderr
        assert until(lambda: late["dedup_key"] not in duty.open), "it is over with the next good run"
        sources = [line for line in agent.lines() if line.startswith("dbt_flow.source.age:")]
    shop.close()
    (source,) = sources
    value, _, tags = source.partition("|g|#")
    assert 7000 < float(value.partition(":")[2]) < 7200 + 7200
    assert {f"dag:{name}", "node:source.shop.raw.landed", "status:pass"} <= set(tags.split(","))
