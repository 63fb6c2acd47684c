"""``require_fresh`` and what is missing on a target, in runs of several steps: told as in a run of one."""

from __future__ import annotations

import re

from landing import land
from shop import Ran, Shop

AGO = re.compile(r"[\d.]+ h ago")
STRICT = {"select": "stg_landed", "require_fresh": "source:raw", "isolate": "all"}


def told(run: Ran) -> tuple[object, ...]:
    """What a run says, without its DAG's file and how long ago the data was loaded."""
    error = run.json["error"] or {}
    nodes = {node["id"]: (node["status"], AGO.sub("", node["reason"])) for node in run.json["nodes"]}
    return run.code, run.json["status"], error.get("code"), AGO.sub("", error.get("message") or ""), error.get("line"), nodes


def test_stale_sources_end_the_run_as_they_end_one_of_one_step(shop: Shop) -> None:
    land(shop, 3)
    shop.dag("strict_steps", **STRICT)
    failed = shop.run("strict_steps")
    assert told(failed) == told(shop.run("strict"))
    assert failed.json["error"]["code"] == "stale-sources" and failed.json["error"]["file"] == "dags/strict_steps.yaml"
    [decision] = shop.kept(failed.json["run"], "decisions-0.json")
    assert decision["decision"] == "skip" and "stale sources" in decision["reason"]
    assert shop.kept(failed.json["run"], "sources.json")["results"]

    shop.dag("lenient_steps", **{**STRICT, "require_fresh": {"select": "source:raw.landed", "otherwise": "skip"}})
    assert told(shop.run("lenient_steps")) == told(shop.run("lenient"))

    land(shop, 0.5)
    good = shop.run("strict_steps")
    assert (good.code, good.statuses) == (0, {"stg_landed": "success"})


def test_a_table_of_another_dag_that_is_missing(shop: Shop) -> None:
    shop.dag("after_steps", select="after_slow", isolate="all")
    run = shop.run("after_steps")
    assert (run.code, run.statuses) == (1, {"after_slow": "error"}), run.stderr
    reason = run.node("after_slow")["reason"]
    assert "missing on the target dev: slow (built by shop)" in reason and "dbt-flow run after_steps --upstream" in reason
