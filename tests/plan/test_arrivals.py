"""The pure core, by properties: with a clock that is set, and events in any order."""

from __future__ import annotations

import json
from datetime import datetime, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_flow.plan.arrivals import (
    Action,
    Arrival,
    Listener,
    Standing,
    arrive,
    last_round_end,
    next_moment,
    pass_time,
    waiting_for,
)

NAMES = ("a", "b", "c")
DAY = 86_400.0
START = datetime(2026, 3, 27, tzinfo=timezone.utc).timestamp()
"""Two days before the clocks of Europe are turned."""

HAPPENINGS = st.lists(st.tuples(st.sampled_from([*NAMES, "tick"]), st.floats(0, DAY / 2)), max_size=40)
LISTENERS = st.builds(
    Listener,
    name=st.just("x"),
    waits=st.sampled_from([NAMES, NAMES[:2], NAMES[:1]]),
    any=st.booleans(),
    within=st.sampled_from([None, 3600.0, DAY]),
    at_latest=st.sampled_from([None, "07:00", "02:30"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Chicago"]),
    otherwise=st.sampled_from(["hold", "skip", "run"]),
)


def story(
    listener: Listener, happenings: list[tuple[str, float]]
) -> tuple[Standing, list[tuple[float, Action]], dict[int, str]]:
    """Run a listener through happenings; the clock is looked at whenever it asks for it, as the runtime does."""
    standing, now, done, sent = Standing(), START, [], {}
    for number, (what, wait) in enumerate(happenings):
        until = now + wait
        while (moment := next_moment(listener, standing, now)) is not None and moment <= until:
            assert moment > now, "the clock stands still"
            now = moment
            standing, actions = pass_time(listener, standing, now)
            done += [(now, action) for action in actions]
        now = until
        standing, actions = pass_time(listener, standing, now)
        done += [(now, action) for action in actions]
        if what in listener.waits:
            sent[number] = what
            standing, actions = arrive(listener, standing, what, Arrival(number, now))
            done += [(now, action) for action in actions]
    return standing, done, sent


@settings(max_examples=300, deadline=None)
@given(LISTENERS, HAPPENINGS)
def test_nothing_is_lost_and_nothing_is_given_twice(listener: Listener, happenings: list[tuple[str, float]]) -> None:
    standing, done, sent = story(listener, happenings)
    given_out = [a.event for _, action in done if action.kind != "hold" for a in action.arrivals.values()]
    kept = [arrival.event for arrival in standing.arrived.values()]
    assert sorted([*given_out, *kept]) == sorted(sent)


@settings(max_examples=300, deadline=None)
@given(LISTENERS, HAPPENINGS)
def test_what_starts_is_whole_or_says_what_is_missing(listener: Listener, happenings: list[tuple[str, float]]) -> None:
    _, done, _ = story(listener, happenings)
    for _, action in done:
        if action.kind != "start":
            continue
        if action.missing:
            assert listener.otherwise == "run" and action.why
        elif listener.any:
            assert len(action.arrivals) <= 1
        else:
            assert set(action.arrivals) == set(listener.waits)
            times = [arrival.at for arrival in action.arrivals.values()]
            assert listener.within is None or max(times) - min(times) <= listener.within


@settings(max_examples=300, deadline=None)
@given(LISTENERS, HAPPENINGS)
def test_each_round_has_at_most_one_verdict(listener: Listener, happenings: list[tuple[str, float]]) -> None:
    _, done, _ = story(listener, happenings)
    late = [last_round_end(listener, at) for at, action in done if action.why.startswith("at ")]
    assert len(late) == len(set(late))


@settings(max_examples=200, deadline=None)
@given(LISTENERS, HAPPENINGS, st.floats(0, 3 * DAY))
def test_a_clock_that_is_set_back_ends_no_round_twice(
    listener: Listener, happenings: list[tuple[str, float]], back: float
) -> None:
    standing, _, _ = story(listener, happenings)
    now = START + sum(wait for _, wait in happenings)
    standing, _ = pass_time(listener, standing, now)
    again, actions = pass_time(listener, standing, now - back)
    assert actions == () and again == standing


@settings(max_examples=100, deadline=None)
@given(LISTENERS, HAPPENINGS)
def test_a_standing_survives_the_log(listener: Listener, happenings: list[tuple[str, float]]) -> None:
    standing, _, _ = story(listener, happenings)
    assert Standing.from_dict(json.loads(json.dumps(standing.to_dict()))) == standing


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_the_latest_of_each_since_it_last_fired() -> None:
    listener = Listener("x", ("a", "b"))
    standing, _ = arrive(listener, Standing(), "a", Arrival(1, 10))
    standing, actions = arrive(listener, standing, "a", Arrival(2, 20))
    assert [(action.kind, action.arrivals["a"].event) for action in actions] == [("replaced", 1)]
    standing, actions = arrive(listener, standing, "b", Arrival(3, 30))
    assert {name: arrival.event for name, arrival in actions[0].arrivals.items()} == {"a": 2, "b": 3}
    standing, actions = arrive(listener, standing, "b", Arrival(4, 40))
    assert actions == () and waiting_for(listener, standing) == ("a",)


def test_within_waits_for_a_fresh_one() -> None:
    listener = Listener("x", ("a", "b"), within=60)
    standing, _ = arrive(listener, Standing(), "a", Arrival(1, 0))
    standing, actions = pass_time(listener, standing, 61)
    assert [(action.kind, action.missing) for action in actions] == [("hold", ("b",))]
    standing, actions = arrive(listener, standing, "b", Arrival(2, 70))
    assert actions == () and waiting_for(listener, standing) == ("a",)
    standing, actions = arrive(listener, standing, "a", Arrival(3, 80))
    assert [action.kind for action in actions] == ["replaced", "start"]


def test_rounds_end_by_the_wall_clock_on_the_days_that_the_clocks_are_turned() -> None:
    berlin = Listener("x", ("a",), at_latest="02:30", zone="Europe/Berlin")
    # 2026-03-29 has no 02:30 in Berlin: the round ends at 03:30 summer time. 2026-10-25 has it twice: it ends at the first.
    assert last_round_end(berlin, moment("2026-03-29T12:00+00:00")) == moment("2026-03-29T01:30+00:00")
    assert last_round_end(berlin, moment("2026-10-25T12:00+00:00")) == moment("2026-10-25T00:30+00:00")


def test_what_was_held_counts_for_the_round_it_was_late_for() -> None:
    listener = Listener("x", ("a",), at_latest="07:00")
    standing, _ = pass_time(listener, Standing(), moment("2026-11-20T12:00+00:00"))
    standing, actions = pass_time(listener, standing, moment("2026-11-21T07:00+00:00"))
    assert [action.kind for action in actions] == ["hold"]
    standing, actions = arrive(listener, standing, "a", Arrival(1, moment("2026-11-21T07:20+00:00")))
    assert [action.kind for action in actions] == ["start"]
    standing, actions = pass_time(listener, standing, moment("2026-11-22T07:00+00:00"))
    assert [action.kind for action in actions] == ["hold"]
