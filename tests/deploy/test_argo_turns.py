"""Turns of workflows that know nothing of each other decide as ``serve`` does, which is awake: in any order, and at once."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.moto import BUCKET, Moto, moto_server

from dbt_flow.plan.arrivals import Arrival, Listener, Standing, arrive, next_moment, pass_time
from dbt_flow.plan.turns import Done, Heard, Ledger, listen, take_turn
from dbt_flow.state.bucket import BucketStore
from dbt_flow.state.store import FolderStore, Store
from dbt_flow.state.turns_taken import Turns

NAMES = ("a", "b", "c")
HOUR, DAY = 3600.0, 86_400.0
START = datetime(2026, 3, 27, 5, tzinfo=timezone.utc).timestamp()
"""Two days before the clocks of Europe are turned."""

RULES = st.builds(
    Listener,
    name=st.just("x"),
    waits=st.sampled_from([NAMES, NAMES[:2], NAMES[:1]]),
    any=st.booleans(),
    within=st.sampled_from([None, HOUR, DAY]),
    at_latest=st.sampled_from([None, "07:00", "02:30"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    otherwise=st.sampled_from(["hold", "skip", "run"]),
)
STORY = st.lists(st.tuples(st.sampled_from([*NAMES, "tick"]), st.integers(1, int(DAY / 2))), max_size=25)

Told = list[tuple[str, tuple[str, ...], tuple[str, ...]]]


def awake(rule: Listener, story: list[tuple[str, int]]) -> Told:
    """What ``serve`` decides: it looks whenever there is something to see."""
    standing, now, told = pass_time(rule, Standing(), START)[0], START, []
    for number, (what, wait) in enumerate(story):
        until = now + wait
        while (moment := next_moment(rule, standing, now)) is not None and moment <= until:
            now = moment
            standing, actions = pass_time(rule, standing, now)
            told += actions
        now = until
        standing, actions = pass_time(rule, standing, now)
        told += actions
        if what in rule.waits:
            standing, actions = arrive(rule, standing, what, Arrival(number, now))
            told += actions
            standing, actions = pass_time(rule, standing, now)
            told += actions
    ids = {number: f"{what}/{number}" for number, (what, _) in enumerate(story)}
    return [(one.kind, tuple(sorted(ids[a.event] for a in one.arrivals.values())), one.missing) for one in told]


def said(decided: list[Done]) -> Told:
    return [(one.kind, tuple(sorted(event.id for event in one.events)), one.missing) for one in decided]


def turn(rule: Listener, ledger: Ledger, news: list[Heard], run: str, now: float) -> tuple[Ledger, list[Done]]:
    """A turn as it comes back from the store."""
    ledger, decided, _ = take_turn(rule, ledger, news, run, now)
    return Ledger.from_dict(json.loads(json.dumps(ledger.to_dict()))), list(decided)


@settings(max_examples=400, deadline=None)
@given(RULES, STORY, st.booleans())
def test_a_workflow_for_each_event_decides_as_one_that_is_awake(
    rule: Listener, story: list[tuple[str, int]], twice: bool
) -> None:
    ledger, now, decided = listen(rule, START), START, []
    for number, (what, wait) in enumerate(story):
        now += wait
        news = [Heard(what, f"{what}/{number}", now)] if what in rule.waits else []
        for run in [f"run{number}", *([f"again{number}"] if twice else [])]:  # what is delivered twice is heard once
            ledger, more = turn(rule, ledger, news, run, now)
            decided += more
    assert said(decided) == awake(rule, story)


@settings(max_examples=300, deadline=None)
@given(RULES, STORY, st.randoms(use_true_random=False))
def test_no_event_is_lost_or_given_twice_whatever_the_order_of_the_pods(
    rule: Listener, story: list[tuple[str, int]], random: object
) -> None:
    """Pods start late, in any order, and some events are only found in the records, by whoever comes next."""
    events, now = [], START
    for number, (what, wait) in enumerate(story):
        now += wait
        if what in rule.waits:
            events.append(Heard(what, f"{what}/{number}", now))
    pods = list(events)
    random.shuffle(pods)  # type: ignore[attr-defined]
    ledger, decided, runs = listen(rule, START), [], 0
    for number, own in enumerate([*pods, *pods[:2]]):
        recorded = [] if rule.any else [one for one in events if one.at <= own.at]
        before = ledger.starts
        ledger, more = turn(rule, ledger, [own, *recorded], f"run{number}", now + number)
        decided += more
        runs += ledger.starts.get(f"run{number}") is not None and f"run{number}" not in before
    given_out = [event.id for one in decided if one.kind != "hold" for event in one.events]
    assert sorted([*given_out, *(one.id for one in ledger.waiting.values())]) == sorted(one.id for one in events)
    assert len({*given_out}) == len(given_out)
    assert runs <= len([one for one in decided if one.kind == "start"])


def test_what_is_no_longer_waited_for_is_forgotten() -> None:
    both = Listener("x", ("a", "b"))
    ledger, _, _ = take_turn(both, listen(both, START), [Heard("a", "a/1", START)], "r1", START)
    other = Listener("x", ("b", "c"))
    ledger, decided, _ = take_turn(other, ledger, [Heard("b", "b/1", START)], "r2", START)
    assert (decided, set(ledger.standing.arrived), len(ledger.waiting)) == ((), {"b"}, 1)


def test_an_event_from_the_future_happens_now() -> None:
    rule = Listener("x", ("a", "b"), within=HOUR)
    ledger, _, _ = take_turn(rule, listen(rule, START), [Heard("a", "a/1", START + 9 * DAY)], "r1", START)
    _, decided, _ = take_turn(rule, ledger, [Heard("b", "b/1", START + 60)], "r2", START + 60)
    assert [one.kind for one in decided] == ["start"]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path)
    aws: Moto = request.getfixturevalue("aws")
    for name, value in aws.variables.items():
        monkeypatch.setenv(name, value)
    return BucketStore(f"s3://{BUCKET}/{tmp_path.name}", FolderStore(tmp_path))


def test_of_many_at_once_each_event_is_given_out_once(store: Store) -> None:
    """Twelve workflows, six of them duplicates, all at the same moment: three pairs start three runs and not one more."""
    rule, ready = Listener("x", ("a", "b")), threading.Barrier(12)
    turns = Turns(store, "default/shop.prod.x")
    assert turns.add(1, {"version": 1, "ledger": listen(rule, START).to_dict()})
    started: list[Done] = []

    def workflow(number: int) -> None:
        own = Heard("ab"[number % 2], f"E/{number % 6}", START + number % 6)
        ready.wait(60)
        while True:
            last, document = turns.last()
            assert document is not None
            ledger, decided, new = take_turn(rule, Ledger.from_dict(document["ledger"]), [own], f"run{number}", START + 60)
            if not new or turns.add(last + 1, {"version": 1, "ledger": ledger.to_dict()}):
                started.extend(done for done in decided if done.kind == "start")
                return

    threads = [threading.Thread(target=workflow, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    last, document = turns.last()
    assert document is not None and last == 7  # a turn for each of the six events, and the first
    ledger = Ledger.from_dict(document["ledger"])
    given_out = [event.id for done in started for event in done.events]
    assert len(given_out) == len({*given_out}) == 2 * len(started) and 1 <= len(started) <= 3
    assert {run: done.to_dict() for run, done in ledger.starts.items()}.keys() <= {f"run{number}" for number in range(12)}
    turns.forget()
    assert turns.last() == (0, None)


def test_old_turns_go_and_the_last_one_stays(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    turns = Turns(store, "default/x")
    for number in range(1, 50):
        assert turns.add(number, {"version": 1})
    for file in (tmp_path / "awaited/default/x").iterdir():
        os.utime(file, (1, 1))
    assert turns.add(50, {"version": 1}) and not turns.add(50, {"version": 1})
    assert store.list("awaited/default/x") == ["0000000050.json"]
