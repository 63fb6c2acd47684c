"""Connections that are cut while nodes are built: what can be tried again is, within bounds, and told; the result is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from cut_project import cutting, left_over, rows_of, write_project
from servers.postgres import Database
from shop import Shop

from dbt_flow.run import tries
from dbt_flow.run.tries import FEWEST_OF_ALL, MOST_OF_A_NODE, Tries, may_repeat, passing

MODELS = 40


def test_a_run_under_cuts_ends_as_one_without(a_database: Callable[[], Database], tmp_path: Path) -> None:
    quiet, cut = a_database(), a_database()
    for name, database in (("quiet", quiet), ("cut", cut)):
        write_project(tmp_path / name, database, MODELS, threads=8, seconds=0.0 if name == "quiet" else 0.3)
    calm = Shop(tmp_path / "quiet").run("cuts")
    assert calm.code == 0, calm.stderr
    shop = Shop(tmp_path / "cut")
    with cutting(cut, every=0.25, most=12) as cutter:
        ran = shop.run("cuts")
    assert ran.code == 0, ran.stderr
    assert cutter.cuts
    assert ran.statuses == calm.statuses
    assert rows_of(cut, MODELS) == rows_of(quiet, MODELS)
    assert left_over(cut) == []
    told_at_once = set(re.findall(r"(\w+): its connection was \w+.*try 2 of 4", ran.stderr))
    reasons = {node["id"].split(".")[2]: node["reason"] or "" for node in ran.json["nodes"]}
    told_at_the_end = {name for name, reason in reasons.items() if re.match(r"its connection was .*; tried again", reason)}
    assert told_at_once == told_at_the_end != set(), (ran.stderr, reasons)
    for each in (Shop(tmp_path / "quiet"), shop):
        each.close()


def test_a_warehouse_that_cuts_every_time_is_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "_FIRST_WAIT", 0.0)
    said: list[str] = []
    counted: list[str] = []

    def runner(name: str) -> SimpleNamespace:
        config = SimpleNamespace(materialized="table", pre_hook=[], post_hook=[])
        node = SimpleNamespace(unique_id=f"model.x.{name}", name=name, resource_type="model", config=config)

        def once(_manifest: object) -> SimpleNamespace:
            counted.append(name)
            return SimpleNamespace(status="error", message="server closed the connection unexpectedly")

        return SimpleNamespace(node=node, run_with_hooks=once)

    patience = Tries(said.append, lambda: False, nodes=4)
    for number in range(20):
        one = runner(f"m{number}")
        patience.wrap(one, lambda: None)
        assert one.run_with_hooks(None).status == "error"
    assert counted.count("m0") == MOST_OF_A_NODE + 1
    assert patience.told("model.x.m0") == "its connection was cut; tried again 3 times"
    assert len(counted) == 20 + FEWEST_OF_ALL, "all nodes together have a bound, too"
    assert len(said) == FEWEST_OF_ALL
    stopped = Tries(said.append, lambda: True, nodes=4)
    last = runner("last")
    stopped.wrap(last, lambda: None)
    last.run_with_hooks(None)
    assert counted.count("last") == 1, "a run that is being stopped tries nothing again"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("server closed the connection unexpectedly\nThis probably means the server terminated abnormally", "cut"),
        ("terminating connection due to administrator command\nSSL connection has been closed unexpectedly", "cut"),
        ('connection to server at "127.0.0.1", port 5432 failed: Connection refused', "refused"),
        ("FATAL: the database system is starting up", "refused: the server restarts"),
        ("FATAL: sorry, too many clients already", "refused: too many at once"),
        ("deadlock detected\nDETAIL: Process 1 waits", "undone by a conflict with another one"),
        ("390111 (08001): Session no longer exists. New login required to access the service.", "ended by the warehouse"),
        ("250003 (n/a): Failed to execute request: 503 Server Error: Service Unavailable", "refused"),
        ('connection to server at "db" failed: FATAL: password authentication failed for user "ann"', ""),
        ('relation "dev.orders" does not exist', ""),
        ("division by zero", ""),
        ("canceling statement due to statement timeout", ""),
        ("000604 (57014): SQL execution canceled", ""),
    ],
)
def test_which_errors_pass(message: str, words: str) -> None:
    assert passing(message) == words


@pytest.mark.parametrize(
    ("kind", "config", "may"),
    [
        ("model", {"materialized": "table"}, True),
        ("model", {"materialized": "view"}, True),
        ("model", {"materialized": "incremental", "unique_key": "id"}, True),
        ("model", {"materialized": "incremental", "unique_key": "id", "incremental_strategy": "append"}, False),
        ("model", {"materialized": "incremental"}, False),
        ("model", {"materialized": "somebodys_own"}, False),
        ("model", {"materialized": "table", "post_hook": ["insert into audit select 1"]}, False),
        ("seed", {"materialized": "seed"}, True),
        ("test", {"materialized": "test"}, True),
        ("saved_query", {}, False),
    ],
)
def test_what_may_be_built_twice(kind: str, config: dict[str, object], may: bool) -> None:
    class Config(SimpleNamespace):
        def get(self, key: str) -> object:
            return getattr(self, key, None)

    found = Config(**{"unique_key": None, "pre_hook": [], "post_hook": [], **config})
    assert may_repeat(SimpleNamespace(resource_type=kind, config=found)) is may
