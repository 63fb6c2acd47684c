"""The decisions behind ``@needs``: pure. And over random stories: no training ends good on stale, failed or half-built data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_flow.plan.needs import Contract, Word, brings_news, decide, judge, still_as_chosen, troubles
from dbt_flow.records import utc_text

MAX_AGE = 1000.0
CONTRACT = Contract(tables=("a", "b"), max_age=MAX_AGE)


def node(name: str, was: str = "success", **more: Any) -> dict[str, Any]:
    kind = "test" if "tests" in more else "model"
    return {"id": name, "name": name, "type": kind, "was": was, "softened": False, "parents": [], "tests": None, **more}


def receipt(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"run": "R/1", "nodes": list(nodes), "inlined": [], "inputs": [], "missing": [], **more}


def test_what_speaks_against_a_table() -> None:
    up, down = node("up"), node("down", parents=["mid"])
    mid = {"id": "mid", "name": "mid", "parents": ["up"]}

    def said(*more: dict[str, Any], **rest: Any) -> list[str]:
        contract = Contract(accept=rest.pop("accept", ("success", "pass")))
        found = troubles(receipt(up, down, *more, inlined=[mid], **rest), "down")
        return [text for word, text in found if word not in contract.accept]

    assert said(node("t", "pass", tests="down")) == []
    assert said(node("t", "fail", tests="down")) == ["t is fail in R/1"]
    assert said(node("t", "warn", tests="down")) == ["t is warn in R/1"]
    assert said(node("t", "warn", tests="down"), accept=("success", "pass", "warn")) == []
    assert said(node("t", "warn", tests="up")) == []  # a warning of the project's own, above: its author says it is fine
    assert said(node("t", "warn", tests="up", softened=True)) == ["t failed in R/1, and only warns because of tests.on_fail"]
    assert said(node("t", "skipped", tests="down")) == ["t is skipped in R/1"]
    assert said(node("t", "fail", tests="elsewhere")) == []
    assert said(missing=["sums"]) == ["R/1 started without sums"]
    assert said(missing=["sums"], accept=("success", "pass", "missing")) == []
    other = {"id": "up2", "troubles": [["fail", "t is fail in Q/1"]]}
    assert said(inputs=[other]) == []
    assert troubles(receipt(node("x", parents=["up2"]), inputs=[other]), "x")[1] == ("fail", "t is fail in Q/1")


@dataclass
class World:
    """Two DAGs, of which B reads A's table; a flow that reads both. What is true is kept apart from what is recorded."""

    now: float = 0.0
    content: dict[str, tuple[int, bool, float]] = field(default_factory=dict)
    """Table to the build that it holds, whether that is good, and when it was made. The truth."""
    torn: set[str] = field(default_factory=set)
    words: dict[str, Word | None] = field(default_factory=lambda: {"a": None, "b": None})
    number: int = 0
    arrived: set[str] = field(default_factory=set)
    fired: dict[str, str] = field(default_factory=dict)
    reading: dict[str, str] | None = None
    seen: dict[str, tuple[int, bool, float]] = field(default_factory=dict)
    trained: list[dict[str, tuple[int, bool, float]]] = field(default_factory=list)
    refused: int = 0
    without: str = ""
    """The guard that is missing, to see that the story needs it."""

    @property
    def contract(self) -> Contract:
        more = {"troubles": {"accept": ("success", "pass", "fail", "skipped")}, "age": {"max_age": None}}
        return replace(CONTRACT, **more.get(self.without, {}))

    def stamp(self) -> str:
        return utc_text(1_700_000_000 + self.now)

    def begin(self, table: str) -> None:
        self.number += 1
        self.torn.add(table)
        before = self.words[table]
        if before is not None:
            self.words[table] = Word(**{**vars(before), "rebuilt_by": f"R/{self.number}"})

    def finish(self, table: str, good: bool, follows: str | None = None) -> None:
        """A run ends: its test passes, or not; it is recorded, and the flow hears of it."""
        self.torn.discard(table)
        self.content[table] = (self.number, good, self.now)
        bad = () if good else (("fail", f"t is fail in R/{self.number}"),)
        run = f"R/{self.number}"
        self.words[table] = Word(table, table, run, "d", table, run, self.stamp(), self.stamp(), None, bad, None, follows)
        self.settled(table)

    def die(self, table: str) -> None:
        """Killed while it built: settled by whoever looks next."""
        self.finish(table, False)

    def skip(self, table: str) -> None:
        """A run planned the table, and what it stands on had failed: it is as it was, and stale."""
        self.number += 1
        run, old = f"R/{self.number}", self.content.get(table)
        if old is None or table in self.torn:
            return
        self.content[table] = (old[0], False, old[2])
        bad = (("skipped", f"{table} is skipped in {run}"),)
        self.words[table] = Word(table, table, run, "d", table, run, self.stamp(), self.stamp(), None, bad)
        self.settled(table)

    def settled(self, table: str) -> None:
        word = self.words[table]
        if word is None or not brings_news([word], self.fired):
            return
        self.arrived.add(table)
        now = 1_700_000_000 + self.now
        decided = decide(self.contract, self.arrived, ("a", "b"), self.words, self.fired, now)
        if decided.kind in ("start", "ignore"):
            self.arrived = set()
        if decided.kind == "start":
            self.fired = dict(decided.builds)
            if not judge(self.contract, self.words, now):
                self.reading, self.seen = dict(decided.builds), {}

    def read(self, table: str) -> None:
        """The flow reads a table: the check before, what is there, and later the check after."""
        if self.reading is not None and self.unchanged(table):
            self.seen[table] = (
                *self.content[table][:1],
                self.content[table][1] and table not in self.torn,
                self.content[table][2],
            )

    def unchanged(self, table: str) -> bool:
        build = (self.reading or {}).get(table, "none")
        if self.without == "looking again":
            return True
        return still_as_chosen(self.contract, build, table, self.words[table], 1_700_000_000 + self.now) is None

    def end(self) -> None:
        """The flow has read all: it ends good only when nothing changed."""
        if self.reading is not None and set(self.seen) == {"a", "b"}:
            if all(self.unchanged(table) for table in self.seen):
                for table, (_, good, made) in self.seen.items():
                    assert good and table not in self.torn
                    assert self.content[table][0] == self.seen[table][0]
                    assert self.now - made <= MAX_AGE
                self.trained.append(dict(self.seen))
            else:
                self.refused += 1
            self.reading = None


OPS = st.one_of(
    st.tuples(st.sampled_from(["begin", "die", "skip", "read"]), st.sampled_from(["a", "b"])),
    st.tuples(st.sampled_from(["good", "good", "good", "bad", "retry"]), st.sampled_from(["a", "b"])),
    st.tuples(st.just("end"), st.just("")),
    st.tuples(st.just("clock"), st.sampled_from([1.0, 300.0, 2000.0, -400.0])),
)
ENDS = st.sampled_from(["good", "good", "bad", "retry", "skip"])


@st.composite
def days(draw: Any) -> list[tuple[str, Any]]:
    """Both DAGs run, the flow reads what it was started for, and something may happen at any moment."""
    story = [(draw(ENDS), "a"), (draw(ENDS), "b"), ("read", "a"), ("read", "b"), ("end", "")]
    for at, op in sorted(draw(st.lists(st.tuples(st.integers(0, 5), OPS), max_size=2)), key=lambda one: -one[0]):
        story.insert(at, op)
    return story


GOOD_DAY = [("good", "a"), ("good", "b"), ("read", "a"), ("read", "b"), ("end", "")]


def tell(world: World, story: list[tuple[str, Any]]) -> None:
    for op, what in story:
        if op == "clock":
            world.now += what
        elif op == "end":
            world.end()
        elif op == "read":
            world.read(what)
        elif op in ("begin", "skip"):
            getattr(world, op)(what)
        elif op == "die":
            if what in world.torn:
                world.die(what)
        else:
            if what not in world.torn:
                world.begin(what)
            before = world.words[what]
            world.finish(what, op != "bad", follows=before.run if op == "retry" and before else None)


def test_no_training_ends_good_on_bad_data() -> None:
    told: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(st.lists(days(), min_size=1, max_size=6))
    def holds(story: list[list[tuple[str, Any]]]) -> None:
        world, ops = World(), [op for day in story for op in day]
        tell(world, ops)
        told.update(what if op == "clock" else op for op, what in ops)  # type: ignore[misc]
        told.update({"trained": len(world.trained), "read again": world.refused})

    holds()
    # The stories had all of it: failures, kills, retries, rebuilds while it reads, clocks set ahead and back.
    expected = {"good", "bad", "retry", "skip", "begin", "die", 2000.0, -400.0, "trained", "read again"}
    assert {name for name in expected if told[name]} == expected


STORIES: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    "a table grew old while the other was waited for": ("age", [("good", "a"), ("clock", 2000.0), ("good", "b")]),
    "a clock was set back, and ahead again": (
        "age",
        [("clock", -400.0), ("good", "a"), ("clock", 2000.0), ("clock", -400.0), ("good", "b")],
    ),
    "a test failed": ("troubles", [("good", "a"), ("bad", "b")]),
    "a run was killed while it built": ("troubles", [("good", "a"), ("begin", "b"), ("die", "b")]),
    "what stands above failed, so it is stale": ("troubles", [("good", "b"), ("skip", "b"), ("good", "a")]),
    "built anew between two reads": ("looking again", [("good", "a"), ("good", "b"), ("read", "a"), ("good", "a")]),
    "half built when it ends": ("looking again", [("good", "a"), ("good", "b"), ("read", "a"), ("read", "b"), ("begin", "a")]),
    "half built when it is read": ("looking again", [("good", "a"), ("good", "b"), ("begin", "a")]),
}


@pytest.mark.parametrize(("without", "story"), STORIES.values(), ids=STORIES)
def test_each_guard_is_needed(without: str, story: list[tuple[str, Any]]) -> None:
    """The story ends in no training on bad data; without the guard it does, and the property above would say so."""
    story = [*story, *(op for op in GOOD_DAY[2:] if op not in story)]
    sound = World()
    tell(sound, story)
    with pytest.raises(AssertionError):
        tell(World(without=without), story)


def test_a_good_day_ends_in_a_training_and_mending_starts_the_held() -> None:
    world = World()
    tell(world, GOOD_DAY)
    assert len(world.trained) == 1
    tell(world, [("good", "a"), ("bad", "b"), ("read", "a"), ("read", "b"), ("end", "")])
    assert len(world.trained) == 1 and world.reading is None and world.arrived == {"a", "b"}
    tell(world, [("retry", "b"), ("read", "a"), ("read", "b"), ("end", "")])
    assert len(world.trained) == 2
    tell(world, [("good", "a"), ("good", "b"), ("read", "a"), ("begin", "a"), ("read", "b"), ("end", "")])
    assert len(world.trained) == 2  # rebuilt while it read


def test_a_retry_that_brings_nothing_new_starts_nothing() -> None:
    word = Word("a", "a", "R/2", "d", "a", "R/1", "t", "t", follows="R/1")
    assert not brings_news([word], {"a": word.build}) and brings_news([word], {})
    assert decide(Contract(tables=("a",)), ["r"], ["r"], {"a": word}, {"a": word.build}, 0).kind == "ignore"
    assert decide(Contract(tables=("a",)), [], ["r"], {"a": word}, {}, 0).kind == "wait"
