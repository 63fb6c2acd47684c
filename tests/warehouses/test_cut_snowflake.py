"""Snowflake that hangs up in the middle of a node, ends a session, or says to come back later: the run ends as without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from servers.fakesnow import Snow
from servers.snow_gate import gate
from warehouse_shop import open_on

ENDED = ("390111", "Session no longer exists. New login required to access the service.")
AWAY = ("250003", "Failed to execute request: 503 Server Error: Service Unavailable")


def test_what_passes_is_tried_again(a_snow: Callable[[], Snow], fakesnow_port: int, tmp_path: Path) -> None:
    few = {"few": {"select": "customers stg_customers slow after_slow", "tests": {"exclude": "test_type:data"}}}
    with gate(fakesnow_port) as passing:
        shop = open_on(a_snow(), tmp_path / "shop", dags=few, port=passing.port)
        passing.once = {"as id, (select": None, "select id, name from": ENDED, "select id from": AWAY}
        ran = shop.run("few")
    assert ran.code == 0, ran.stderr
    assert passing.once == {}
    assert ran.statuses == dict.fromkeys(("customers", "stg_customers", "slow", "after_slow"), "success")
    assert "its connection was ended by the warehouse; tried again once" in ran.node("stg_customers")["reason"]
    assert "its connection was refused; tried again once" in ran.node("after_slow")["reason"]
    assert "tried again" not in ran.node("slow")["reason"], "a cut connection the connector itself mends"
    assert sum("as id, (select" in sql for sql, _ in passing.seen) == 2
    assert shop.query("select count(*) from dev.after_slow") == [(1,)]
    shop.close()
