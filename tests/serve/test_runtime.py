"""The runtime over stand-in runs: chains, rules, overlap, parameters, recovery."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from stand import RUN, Stand, StandIn, send, settle, settle_until, settle_until_running

from dbt_flow.errors import StateError
from dbt_flow.serve.event import make
from dbt_flow.serve.outcomes import End, events_of
from dbt_flow.serve.starter import Command, Order


def test_a_chain_of_four_from_one_event_sent_three_times(stand: Stand) -> None:
    stand.dag("one", "{event: landed}")
    stand.dag("two", "{after: one}")
    stand.dag("three", "{after: one}")
    stand.dag("four", "{after: [two, three]}")
    stand.dag("never", "{after: three}")
    runtime = stand.runtime(StandIn(stand.state, bad=("three",)))
    answers = [send(runtime, "landed", id="a") for _ in range(3)]
    assert [answer.duplicate for answer in answers] == [False, True, True]
    settle(runtime)
    assert stand.ended() == {"one": 1, "two": 1, "three": 1}
    assert set(runtime.log.standing("four").arrived) == {runtime.listening.by_name["two"].finished}
    runtime.executor.starter.bad = ()  # type: ignore[attr-defined]
    send(runtime, "landed", id="b")
    settle(runtime)
    assert stand.ended() == {"one": 2, "two": 2, "three": 2, "four": 1, "never": 1}


def test_what_ends_while_nobody_looks_starts_what_waits(stand: Stand) -> None:
    stand.dag("one", "none")
    stand.dag("two", "{after: one}")
    runtime = stand.runtime()
    runtime.turn(0)
    runtime.log.close()

    subprocess.run(
        [sys.executable, str(RUN), str(stand.state), "one", "by-hand", str(stand.folder), "0", "success"], check=True
    )
    runtime = stand.runtime()
    settle(runtime)
    assert stand.ended() == {"one": 1, "two": 1}
    runtime.log.close()
    settle(stand.runtime())
    assert stand.ended() == {"one": 1, "two": 1}


def test_a_line_of_history_that_was_never_written(stand: Stand) -> None:
    stand.dag("one", "{event: go}")
    stand.dag("two", "{after: one}")
    runtime = stand.runtime()
    runtime.turn(0)
    runtime.log.close()

    subprocess.run([sys.executable, str(RUN), str(stand.state), "one", "x", str(stand.folder), "0", "success"], check=True)
    (stand.state / "history/dev/one.jsonl").unlink()
    settle(stand.runtime())
    assert stand.ended()["two"] == 1


def test_a_new_log_starts_nothing_for_what_ended_before(stand: Stand) -> None:
    stand.dag("one", "{event: go}")
    stand.dag("two", "{after: one}")
    runtime = stand.runtime()
    send(runtime, "go")
    settle(runtime)
    runtime.log.close()
    for file in (stand.state / "serve").glob("events*"):
        file.unlink()
    settle(stand.runtime())
    assert stand.ended() == {"one": 1, "two": 1}


def test_any_starts_for_each(stand: Stand) -> None:
    stand.dag("one", "{event: first}")
    stand.dag("two", "{event: second}")
    stand.dag("either", "{after: {any: [one, two]}}")
    runtime = stand.runtime()
    for name in ("first", "second"):
        send(runtime, name)
        settle(runtime)
    assert stand.ended()["either"] == 2


def test_overlap_queue_folds_what_is_equal(stand: Stand) -> None:
    stand.dag("slow", "{event: {name: go, params: {day: day}}}", "params: {day: {type: date, default: today}}\n")
    stand.hold("slow")
    runtime = stand.runtime()
    send(runtime, "go", day="2026-11-01")
    settle_until_running(runtime)
    told = [send(runtime, "go", day=day).subscribers["slow"] for day in ("2026-11-02", "2026-11-02", "2026-11-03")]
    assert told[0].startswith("delivery") and told[1].startswith("folded") and told[2].startswith("delivery")
    stand.let_go("slow")
    settle(runtime)
    assert stand.ended() == {"slow": 3}
    days = [order.delivery.params["day"] for order in stand.starter.started]
    assert days == ["2026-11-01", "2026-11-02", "2026-11-03"]


def test_overlap_skip(stand: Stand) -> None:
    stand.dag("slow", "{event: go}", "overlap: skip\n")
    stand.hold("slow")
    runtime = stand.runtime()
    send(runtime, "go")
    settle_until_running(runtime)
    assert send(runtime, "go").subscribers["slow"].startswith("skipped: it was running")
    stand.let_go("slow")
    settle(runtime)
    assert stand.ended() == {"slow": 1}


def test_a_bound_on_runs_at_once(stand: Stand) -> None:
    for number in range(6):
        stand.dag(f"d{number}", "{event: go}")
    for number in range(6):
        stand.hold(f"d{number}")
    runtime = stand.runtime(jobs=2)
    send(runtime, "go")
    for number in range(6):
        runtime.turn(0.01)
        assert len(runtime.executor.children) == 2 or number > 3
        [first, *_] = runtime.executor.children.values()
        stand.let_go(first.order.subscriber.name)
        settle_until(runtime, lambda first=first: first not in runtime.executor.children.values())  # type: ignore[misc]
    settle(runtime)
    assert sum(stand.ended().values()) == 6


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("2026-13-01", "refused: the parameter day is"),
        ([1], "refused: the parameter day of one takes a date"),
        (None, "refused"),
    ],
)
def test_parameters_that_do_not_fit(stand: Stand, value: object, told: str) -> None:
    stand.dag("one", "{event: {name: go, params: {day: when}}}", "params: {day: {type: date, default: today}}\n")
    stand.dag("two", "{event: go}")
    runtime = stand.runtime()
    answer = send(runtime, "go", when=value)
    assert answer.subscribers["one"].startswith(told)
    assert answer.subscribers["two"].startswith("delivery")
    assert any("one was refused" in notice["text"] for notice in runtime.log.notices())


def test_a_required_field_that_is_not_there_is_not_its_event(stand: Stand) -> None:
    stand.dag("one", "{event: {name: go, params: {day: when}}}", "params: {day: {type: date}}\n")
    runtime = stand.runtime()
    assert send(runtime, "go").subscribers == {"one": "not for it: the payload lacks when"}


def test_at_latest_runs_without_what_is_missing_and_says_so(stand: Stand) -> None:
    stand.now = 1_795_219_200.0  # 2026-11-21 00:00 UTC
    stand.dag("a", "{event: go_a}")
    stand.dag("b", "{event: go_b}")
    stand.dag("c", '{after: [a, b], at_latest: "07:00", otherwise: run}')
    runtime = stand.runtime()
    runtime.turn(0)
    with runtime.log.transaction():
        feed_end(runtime, "a", stand.now + 6 * 3600)
    stand.now += 6.9 * 3600
    runtime.turn(0)
    assert not runtime.log.recent("c")
    stand.now += 0.2 * 3600
    settle(runtime)
    (delivery,) = runtime.log.recent("c")
    assert delivery.why == "after A/1, at 07:00 without b (nothing has come of it yet)"
    stand.now += 24 * 3600
    settle(runtime)
    first, _ = runtime.log.recent("c")
    assert first.why.startswith("at 07:00 without a (the last one is 25 h old); b (nothing")


def feed_end(runtime: object, dag: str, at: float) -> None:

    subscriber = runtime.listening.by_name[dag]  # type: ignore[attr-defined]
    end = End(subscriber.flow, "1", "success", at, f"{subscriber.flow}/1/end/1", subscriber.project, subscriber.branch)
    for event in events_of(end):
        runtime.log.add_event(event)  # type: ignore[attr-defined]


def test_hold_tells_the_owner_once_a_round_and_goes_on(stand: Stand) -> None:
    stand.now = 1_795_219_200.0
    stand.dag("a", "{event: go_a}")
    stand.dag("c", '{after: a, at_latest: "07:00"}')
    runtime = stand.runtime()
    runtime.turn(0)
    stand.now += 8 * 3600
    for _ in range(3):
        runtime.turn(0)
    assert [notice["kind"] for notice in runtime.log.notices()] == ["held"]
    with runtime.log.transaction():
        feed_end(runtime, "a", stand.now)
    settle(runtime)
    assert stand.ended() == {"c": 1}


def test_one_runtime_for_one_state_folder(stand: Stand) -> None:
    stand.dag("one", "none")
    one, two = stand.runtime(), stand.runtime()
    with one.alone(), pytest.raises(StateError) as refused, two.alone():
        pass
    assert refused.value.code == "server-running"


def test_a_log_of_a_newer_version_is_refused(stand: Stand) -> None:
    stand.dag("one", "none")
    runtime = stand.runtime()
    runtime.log.db.execute("PRAGMA user_version = 99")
    runtime.log.close()
    with pytest.raises(StateError) as refused:
        stand.runtime()
    assert refused.value.code == "state-version"


def test_what_cannot_be_started_is_given_up_and_told(stand: Stand) -> None:
    stand.dag("one", "{event: go}")
    runtime = stand.runtime()
    runtime.executor.starter.command = lambda order: (_ for _ in ()).throw(OSError("no"))  # type: ignore[method-assign]
    send(runtime, "go")
    for _ in range(30):
        runtime.turn(0)
    (delivery,) = runtime.log.recent("one")
    assert (delivery.state, delivery.status) == ("done", "failed")


class Leaving(StandIn):
    """Its runs end and leave a process behind."""

    def command(self, order: Order) -> Command:
        command = super().command(order)
        behind = 'sleep 600 & echo $! > "$0"; exec "$@"'
        return replace(command, argv=["/bin/sh", "-c", behind, str(self.state / "left-behind"), *command.argv])


def test_no_process_of_a_run_outlives_it(stand: Stand) -> None:
    stand.dag("one", "{event: landed}")
    runtime = stand.runtime(Leaving(stand.state))
    send(runtime, "landed")
    settle(runtime)
    assert stand.ended() == {"one": 1}
    left = int((stand.state / "left-behind").read_text())
    settle_until(runtime, lambda: not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE)


def test_the_disk_is_full(stand: Stand) -> None:
    stand.dag("one", "{event: go}")
    runtime = stand.runtime()
    pages = runtime.log.db.execute("PRAGMA page_count").fetchone()[0]
    runtime.log.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateError) as refused:
        for number in range(2000):
            send(runtime, "other", id=str(number), text="x" * 500)
    assert refused.value.code == "disk-full"
    runtime.log.db.execute("PRAGMA max_page_count = 1000000")
    send(runtime, "go")
    settle(runtime)
    assert stand.ended() == {"one": 1}


def test_a_sender_whose_event_is_not_written_down_is_told_to_come_again(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes requests here, as with a disk that hangs."""
    monkeypatch.setattr("dbt_flow.serve.runtime._WRITTEN_WITHIN", 0.01)
    with pytest.raises(StateError) as refused:
        stand.runtime().post(make("landed", {"id": "1"}, 0.0))
    assert refused.value.code == "not-accepting" and "same id" in str(refused.value.hint)


def test_the_owner_of_a_held_dag_gets_a_message(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str, bool]] = []

    def remember(store: object, rules: object, blank: object, headline: str, *, page: bool) -> None:
        told.append((blank.owner, headline, page))  # type: ignore[attr-defined]

    monkeypatch.setattr("dbt_flow.serve.owners_told.tell_alarm", remember)
    stand.now = 1_795_219_200.0
    stand.dag("a", "{event: go_a}")
    stand.dag("c", '{after: a, at_latest: "07:00"}')
    runtime = stand.runtime()
    runtime.turn(0)
    stand.now += 8 * 3600
    for _ in range(3):
        runtime.turn(0)
        runtime.owners.tick(runtime.listening)
    assert told == [("team", "c is held at 07:00: it waits for a (nothing has come of it yet)", False)]


def test_what_is_done_with_is_forgotten_after_a_while(stand: Stand) -> None:
    stand.dag("one", "{event: landed}")
    stand.dag("two", "{after: [one, one_more]}")
    stand.dag("one_more", "none")
    runtime = stand.runtime()
    for number in range(3):
        send(runtime, "landed", id=str(number))
        settle(runtime)
    with runtime.log.transaction():
        runtime.log.forget(stand.clock() + 1)
    assert [event.id for event in runtime.log.events(name="landed")] == ["2"]
    assert not runtime.log.recent("one")
    (arrival,) = runtime.log.standing("two").arrived.values()
    assert runtime.log.event(arrival.event) is not None, "what somebody waits with is kept"
    settle(runtime)
