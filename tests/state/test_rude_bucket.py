"""A bucket on a bad day: what can be tried again is, within bounds; what cannot is one clear error; nothing is half-written."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from rude_s3 import RudeS3, rude_s3
from servers.moto import BUCKET, Moto, moto_server

from dbt_flow.errors import StateError
from dbt_flow.state import bucket
from dbt_flow.state.bucket import BucketStore
from dbt_flow.state.store import FolderStore, read_lines


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(aws: Moto) -> Iterator[RudeS3]:
    with rude_s3(aws.url) as rude, pytest.MonkeyPatch.context() as patch:
        for name, value in {**aws.variables, "AWS_ENDPOINT_URL": rude.url, "AWS_MAX_ATTEMPTS": "3"}.items():
            patch.setenv(name, value)
        yield rude


@pytest.fixture
def rude(proxy: RudeS3) -> Iterator[RudeS3]:
    yield proxy
    proxy.mood = lambda method, path: None
    proxy.asked.clear()


@pytest.fixture
def store(rude: RudeS3, tmp_path: Path) -> BucketStore:
    return BucketStore(f"s3://{BUCKET}/{uuid.uuid4().hex}", FolderStore(tmp_path / "state"))


@pytest.mark.parametrize("mood", ["500", "half"])
def test_a_moment_of_trouble_is_nobodys_business(store: BucketStore, rude: RudeS3, mood: str) -> None:
    store.put("plan.json", b'{"whole": true}' * 100)
    rude.once(mood, "GET")
    assert store.get("plan.json") == b'{"whole": true}' * 100


def test_a_write_whose_answer_was_lost_is_still_ours(store: BucketStore, rude: RudeS3) -> None:
    rude.once("written", "PUT")
    assert store.put_if_absent("result.json", b"{}"), "the second try found what the first had written"
    assert not store.put_if_absent("result.json", b"{}"), "and another's is another's"


def test_trouble_that_stays_is_one_error_and_nothing_is_half_written(store: BucketStore, rude: RudeS3, aws: Moto) -> None:
    store.put("plan.json", b"old")
    rude.mood = lambda method, path: "500"
    with pytest.raises(StateError) as caught:
        store.put("plan.json", b"new")
    assert caught.value.code == "state-unreachable"
    assert "SlowDown, 3 times" in caught.value.message and "plan.json" in caught.value.message
    assert caught.value.hint
    assert len([1 for method, _ in rude.asked if method == "PUT"]) <= 5, "within bounds"
    assert aws.objects(store.prefix)[f"{store.prefix}plan.json"] == b"old"


def test_an_answer_that_does_not_come_is_waited_for_within_bounds(
    store: BucketStore, rude: RudeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("plan.json", b"{}")
    monkeypatch.setattr(bucket, "_ANSWER_WITHIN", 0.3)
    impatient = BucketStore(store.url, store.local)
    left = ["slow"]
    rude.mood = lambda method, path: left.pop() if left else None
    assert impatient.get("plan.json") == b"{}", "once is nobody's business"
    rude.asked.clear()
    rude.mood = lambda method, path: "slow"
    with pytest.raises(StateError) as caught:
        impatient.get("plan.json")
    assert caught.value.code == "state-unreachable"
    assert "S3 does not answer: Read timeout" in caught.value.message and "plan.json" in caught.value.message
    assert len(rude.asked) == 3, "as often as AWS_MAX_ATTEMPTS says"


def test_a_body_that_always_breaks_off_is_one_error(store: BucketStore, rude: RudeS3) -> None:
    store.put("plan.json", b"x" * 1000)
    rude.mood = lambda method, path: "half" if method == "GET" else None
    with pytest.raises(StateError) as caught:
        store.get("plan.json")
    assert caught.value.code == "state-unreachable"


@pytest.mark.parametrize(
    ("mood", "why", "hint"), [("denied", "no permission", "s3:PutObject"), ("expired", "have expired", "AWS_")]
)
def test_who_may_not_is_told_what_to_do(store: BucketStore, rude: RudeS3, mood: str, why: str, hint: str) -> None:
    rude.mood = lambda method, path: mood
    with pytest.raises(StateError) as caught:
        store.put("plan.json", b"{}")
    assert why in caught.value.message
    assert hint in str(caught.value.hint)


def test_lines_on_their_way_survive_a_time_of_trouble(store: BucketStore, rude: RudeS3) -> None:
    rude.mood = lambda method, path: "500"
    for number in range(3):
        store.append("log.jsonl", b'{"n": %d}\n' % number, soon=True)
    with pytest.raises(StateError):
        store.flush()
    rude.mood = lambda method, path: None
    store.append("log.jsonl", b'{"n": 3}\n')
    assert [line["n"] for line in read_lines(store, "log.jsonl")] == [0, 1, 2, 3]


def test_a_bucket_that_is_not_there_is_told(aws: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StateError) as caught:
        BucketStore("s3://no-such-bucket-here", FolderStore(tmp_path)).put("x.json", b"{}")
    assert "no such bucket" in caught.value.message


def test_without_credentials_the_command_says_so(tmp_path: Path, aws: Moto) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    bare = {name: value for name, value in aws.variables.items() if "KEY" not in name}
    command = [sys.executable, "-m", "dbt_flow", "--state", f"s3://{BUCKET}/x", "card", "shop"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PATH": "/usr/bin", "HOME": str(tmp_path), **bare},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "there are no AWS credentials" in done.stderr and "AWS_ACCESS_KEY_ID" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("said", ["gs://bucket/x", "s3:/bucket", "s3://B"])
def test_another_place_is_refused_with_what_to_write(tmp_path: Path, said: str) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / "dbt_flow.yml").write_text(f"project: shop\nstate: {said}\n")
    done = subprocess.run([sys.executable, "-m", "dbt_flow", "list"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "dbt_flow.yml:2:8" in done.stderr and "s3://BUCKET/PREFIX" in done.stderr
