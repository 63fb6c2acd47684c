"""The outbox: no page is lost or doubled, in hundreds of outages; order; several senders; damage."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dbt_flow.records import utc_text
from dbt_flow.report import outbox as outboxes
from dbt_flow.report.messages import APPRISE, NOTICE, PAGERDUTY, RESOLVE, TRIGGER, Message, Route
from dbt_flow.report.outbox import NotSent, Outbox
from dbt_flow.state.store import FolderStore

PD, HOOK = Route(PAGERDUTY, "PD"), Route(APPRISE, "HOOK")


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(FolderStore(tmp_path))


def message(number: int, action: str = TRIGGER, dedup: str = "k", route: Route = PD, at: float | None = None) -> Message:
    created = utc_text(at if at is not None else time.time() - 1_000 + number)
    return Message(f"id{number:04d}", created, action, dedup, route, f"title {number}")


def refuse(_: Message) -> None:
    raise NotSent("down")


def test_a_message_is_put_in_once(box: Outbox) -> None:
    assert box.put([message(1), message(2)]) == 2
    assert box.put([message(1)]) == 0
    sent: list[str] = []
    assert box.flush(lambda m: sent.append(m.id)).sent == 2
    assert box.put([message(1)]) == 0
    assert sent == ["id0001", "id0002"]
    assert box.count() == 0


def test_what_is_refused_waits_longer_each_time(box: Outbox) -> None:
    box.put([message(1)])
    waits = []
    for _ in range(4):
        done = box.flush(refuse, at_once=True)
        assert (done.sent, done.waiting, done.troubles) == (0, 1, {"PD": "down"})
        waits.append(round(box.next_try() or 0))
    assert waits == [1, 2, 4, 8]
    assert box.flush(refuse).troubles == {"PD": "down"}  # not due: it is not even tried
    assert box.waiting()[0].tries == 4


def test_who_wants_to_be_left_alone_is(box: Outbox) -> None:
    box.put([message(1)])

    def busy(_: Message) -> None:
        raise NotSent("429", wait=30)

    box.flush(busy)
    assert 28 < (box.next_try() or 0) <= 30


def test_a_route_that_fails_is_tried_once_in_a_pass(box: Outbox) -> None:
    box.put([message(n, dedup=f"k{n}") for n in range(100)] + [message(200, NOTICE, "k", HOOK)])
    tried: list[Message] = []

    def pagerduty_is_down(m: Message) -> None:
        tried.append(m)
        if m.route == PD:
            raise NotSent("down")

    done = box.flush(pagerduty_is_down)
    assert (done.sent, done.waiting, len(tried)) == (1, 100, 2)


def test_the_end_of_a_page_never_overtakes_its_beginning(box: Outbox) -> None:
    box.put([message(1), message(2, RESOLVE), message(3, dedup="other")])
    order: list[tuple[str, str]] = []
    moods = iter([False, True, True, True])

    def flaky(m: Message) -> None:
        if not next(moods):
            raise NotSent("down")
        order.append((m.action, m.dedup))

    for _ in range(3):
        box.flush(flaky, at_once=True)
    assert order == [("trigger", "k"), ("resolve", "k"), ("trigger", "other")]


def test_messages_grow_old_and_pages_do_not(box: Outbox) -> None:
    long_ago = time.time() - 10 * 86_400
    box.put([message(1, NOTICE, route=HOOK, at=long_ago), message(2, TRIGGER, at=long_ago)])
    sent: list[str] = []
    done = box.flush(lambda m: sent.append(m.id))
    assert (sent, done.dropped, done.waiting) == (["id0002"], 1, 0)


def test_damage_is_put_aside(box: Outbox) -> None:
    box.put([message(1)])
    store = box.store
    store.path(f"{outboxes.WAITING}/bad.json").write_text("{")
    store.path(f"{outboxes.WAITING}/odd.json").write_text("[]")
    assert [m.id for m in box.waiting()] == ["id0001"]
    assert store.list(outboxes.DAMAGED) == ["bad.json", "odd.json"]


def test_one_sender_at_a_time(box: Outbox) -> None:
    box.put([message(n, dedup=f"k{n}") for n in range(30)])
    sent: Counter[str] = Counter()

    def slowly(m: Message) -> None:
        time.sleep(0.002)
        sent[m.id] += 1

    def work() -> None:
        while Outbox(box.store).count():
            Outbox(box.store).flush(slowly)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert set(sent.values()) == {1}
    assert len(sent) == 30


def test_hundreds_of_outages(tmp_path: Path) -> None:
    """Whatever PagerDuty does, each incident is opened and closed, in order, and nothing is taken twice without need."""
    draw = random.Random(4)
    box = Outbox(FolderStore(tmp_path))
    taken: list[tuple[str, str]] = []
    put: list[tuple[str, str]] = []
    doubled = 0
    for number in range(150):
        key = f"k{draw.randrange(12)}"
        action = RESOLVE if [a for k, a in put if k == key][-1:] == [TRIGGER] else TRIGGER
        put.append((key, action))
        box.put([replace(message(number, action, key), created=utc_text(1_900_000_000.0 + number))])
        for _ in range(2):

            def outage(m: Message) -> None:
                nonlocal doubled
                mood = draw.random()
                if mood < 0.35:
                    raise NotSent("down")
                taken.append((m.dedup, m.action))
                if mood < 0.45:  # it was taken, and the answer never came: it will be sent again under the same key
                    doubled += 1
                    raise NotSent("no answer within 5 s")

            box.flush(outage, at_once=True)
    while box.count():
        box.flush(lambda m: taken.append((m.dedup, m.action)), at_once=True)
    assert doubled > 10
    assert len(taken) == len(put) + doubled
    for key in {key for key, _ in put}:
        wanted = [action for k, action in put if k == key]
        found = [action for k, action in taken if k == key]
        once = [action for place, action in enumerate(found) if place == 0 or found[place - 1] != action]
        assert once == wanted
