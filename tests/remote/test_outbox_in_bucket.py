"""Messages that wait in a bucket: several machines, one sender at a time, and one that died with its claim."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from servers.moto import BUCKET, Moto, moto_server

from dbt_flow.records import utc_moment, utc_text
from dbt_flow.report import sender
from dbt_flow.report.messages import PAGERDUTY, TRIGGER, Message, Route
from dbt_flow.report.outbox import Outbox
from dbt_flow.state.bucket import BucketStore
from dbt_flow.state.store import FolderStore, encode

CLAIM = "outbox/sending.json"


def message(number: int) -> Message:
    created = utc_text(time.time() - 1_000 + number)
    return Message(f"id{number:04d}", created, TRIGGER, "k", Route(PAGERDUTY, "PD"), f"title {number}")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.variables.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def machines(aws: Moto, tmp_path: Path) -> tuple[BucketStore, BucketStore]:
    url = f"s3://{BUCKET}/{tmp_path.name}"
    return BucketStore(url, FolderStore(tmp_path / "one")), BucketStore(url, FolderStore(tmp_path / "two"))


def test_while_one_machine_sends_another_leaves_it_alone(machines: tuple[BucketStore, BucketStore]) -> None:
    one, two = (Outbox(store) for store in machines)
    assert one.put([message(1), message(2)]) == 2
    assert two.put([message(1)]) == 0, "the same news is put in once, whoever has it"
    sent: list[str] = []

    def send(what: Message) -> None:
        sent.append(what.id)
        done = two.flush(lambda other: sent.append(f"twice {other.id}"))
        assert done.busy and done.sent == 0

    assert one.flush(send).sent == 2
    assert sent == ["id0001", "id0002"]
    assert (one.count(), two.count()) == (0, 0)
    assert machines[0].get(CLAIM) is None, "the claim goes with the work"
    assert two.put([message(2)]) == 0, "what was sent is remembered"


@pytest.mark.parametrize(("minutes", "sends"), [(-1, True), (4, False)])
def test_the_claim_of_a_sender_that_died_runs_out(machines: tuple[BucketStore, BucketStore], minutes: int, sends: bool) -> None:
    one, two = machines
    Outbox(one).put([message(1)])
    one.put(CLAIM, encode({"until": utc_text(utc_moment(utc_text()) + timedelta(minutes=minutes))}))
    sent: list[str] = []
    done = Outbox(two).flush(lambda what: sent.append(what.id))
    assert (sent == ["id0001"], done.busy) == (sends, not sends)


def test_in_a_container_the_run_sends_for_itself(
    machines: tuple[BucketStore, BucketStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = machines
    Outbox(store).put([message(1)])
    monkeypatch.setenv(sender.FAR_VARIABLE, "1")
    sent: list[str] = []
    monkeypatch.setattr(sender, "send", lambda what: sent.append(what.id))
    monkeypatch.setattr(sender, "_HURRY", 60.0)  # a busy machine is no reason to leave it to others
    sender.start(store)
    assert sent == ["id0001"]
    assert Outbox(store).count() == 0
