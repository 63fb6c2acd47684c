"""What every store promises: the same tests over the folder and over a bucket of S3."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.moto import BUCKET, Moto, moto_server

from dbt_flow import redact
from dbt_flow.errors import StateError
from dbt_flow.records import RunResult, utc_text
from dbt_flow.state.bucket import BucketStore
from dbt_flow.state.places import open_store
from dbt_flow.state.runs import RunRecord, RunRef, find_runs
from dbt_flow.state.segments import Log
from dbt_flow.state.store import FolderStore, Store, encode, get_json, read_lines

Open = Callable[[], Store]
KEYS = st.from_regex(r"[a-z]{1,3}(/[a-z0-9_-]{0,3}[a-z0-9]){0,2}", fullmatch=True)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.variables.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(params=["folder", "bucket"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Makes stores with nothing in them."""
    if request.param == "bucket":
        request.getfixturevalue("aws")

    def make() -> Store:
        folder = tmp_path_factory.mktemp("state") / "s"
        return open_store(folder, f"s3://{BUCKET}/{uuid.uuid4().hex}/state" if request.param == "bucket" else None)

    return make


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "put_if_absent", "append", "soon", "drop", "trim"]), KEYS, st.binary(max_size=40)),
        max_size=12,
    )
)
def test_it_holds_what_a_dictionary_would(fresh: Open, steps: list[tuple[str, str, bytes]]) -> None:
    store, model = fresh(), dict[str, bytes]()
    for verb, name, value in steps:
        key = f"k{name}.jsonl" if verb in ("append", "soon", "trim") else f"k{name}.d"
        if any(other.startswith(f"{key}/") or key.startswith(f"{other}/") for other in model):
            continue  # a file cannot be a folder
        if verb == "put":
            store.put(key, value)
            model[key] = value
        elif verb == "put_if_absent":
            assert store.put_if_absent(key, value) == (key not in model)
            model.setdefault(key, value)
        elif verb == "drop":
            store.drop(key)
            model.pop(key, None)
        elif verb == "trim":
            if key in model:
                store.flush()
                before = model[key].splitlines(keepends=True)
                store.trim(key, 2)
                left = (store.get(key) or b"").splitlines(keepends=True)
                assert left == before[-len(left) :] and min(2, len(before)) <= len(left) <= len(before)
                model[key] = b"".join(left)
        else:
            line = value.replace(b"\n", b"").replace(b"\r", b"") + b"\n"
            store.append(key, line, soon=verb == "soon")
            model[key] = model.get(key, b"") + line
    store.flush()
    assert {key: store.get(key) for key in model} == model
    assert store.get("nothing.d") is None and store.get("nothing.jsonl") is None
    assert store.list("") == sorted({key.partition("/")[0] for key in model})
    assert sorted(store.logs("")) == sorted(key for key in model if key.endswith(".jsonl"))


def test_names_directly_under_a_prefix_are_listed(fresh: Open) -> None:
    store = fresh()
    for key in ("runs/dev/a/1/plan.json", "runs/dev/a/2/plan.json", "runs/dev/ab/1/plan.json", "runs/dev/.hidden", "runsdev"):
        store.put(key, b"{}")
    store.append("runs/dev/a/1/attempt-0.jsonl", b"{}\n")
    assert store.list("runs/dev") == ["a", "ab"]
    assert store.list("runs/dev/a/1") == ["attempt-0.jsonl", "plan.json"]
    assert store.list("runs/prod") == []
    assert store.older("runs/dev/a/1", 3600) == []
    store.drop("runs/dev/a")
    assert store.list("runs/dev") == ["ab"], "what is under a prefix goes with it, and what only begins like it stays"


def test_of_many_threads_and_processes_exactly_one_writes(fresh: Open) -> None:
    store = fresh()
    program = (
        "import sys; from pathlib import Path; from dbt_flow.state.places import open_store\n"
        "s = open_store(Path(sys.argv[1]), sys.argv[2] or None)\n"
        "print(sum(s.put_if_absent(f'race/{n}', sys.argv[3].encode()) for n in range(60)))"
    )
    where = [str(store.local.folder), store.url if isinstance(store, BucketStore) else ""]
    others = [
        subprocess.Popen([sys.executable, "-c", program, *where, f"p{i}"], stdout=subprocess.PIPE, text=True) for i in range(2)
    ]
    with ThreadPoolExecutor(4) as pool:
        mine = sum(pool.map(lambda job: store.put_if_absent(f"race/{job % 60}", b"thread"), range(240)))
    wins = mine + sum(int(process.communicate(timeout=120)[0]) for process in others)
    assert wins == 60, "each key has exactly one writer, whoever that was"
    assert len(store.list("race")) == 60


def test_a_run_is_recorded_settled_once_and_found_again(fresh: Open) -> None:
    store, ref = fresh(), RunRef("dev", "landing", "7")
    record, now = RunRecord(store, ref), utc_text()
    record.begin_attempt(0, {"run": "Landing/7"})
    for number in range(200):
        record.node_started(0, f"model.shop.m{number}", now)
    result = RunResult("landing", "Landing", "Landing/7", "success", "It is good.", "dev", started=now, finished=now)
    with ThreadPoolExecutor(4) as pool:
        settled = list(pool.map(lambda _: RunRecord(store, ref).settle(result), range(4)))
    assert sorted(settled) == [False, False, False, True]
    [attempt] = record.attempts()
    assert attempt.header["run"] == "Landing/7"
    assert len(attempt.started) == 200, "settling flushes what was on its way"
    assert [*find_runs(store)] == [ref]
    assert [line["run"] for line in read_lines(store, "history/dev/landing.jsonl")] == ["Landing/7"]


def test_lines_of_two_writers_and_a_trimmer_are_all_there_once(fresh: Open) -> None:
    store, key, over = fresh(), "history/dev/x.jsonl", threading.Event()
    other = open_store(store.local.folder, store.url) if isinstance(store, BucketStore) else FolderStore(store.local.folder)

    def write(to: Store, who: str) -> None:
        for number in range(40):
            to.append(key, encode({"who": who, "n": number}) + b"\n")

    def look() -> None:
        while not over.is_set():
            seen = [(line["who"], line["n"]) for line in read_lines(store, key)]
            assert len(seen) == len(set(seen)), "no line is seen twice while segments are joined"
            store.trim(key, 1_000)

    with ThreadPoolExecutor(3) as pool:
        looking = pool.submit(look)
        for writing in [pool.submit(write, store, "a"), pool.submit(write, other, "b")]:
            writing.result(120)
        over.set()
        looking.result(120)
    lines = [*read_lines(store, key)]
    assert sorted((line["who"], line["n"]) for line in lines) == [(who, n) for who in "ab" for n in range(40)]
    for who in "ab":
        assert [line["n"] for line in lines if line["who"] == who] == [*range(40)], "a writer's lines stay in order"


# ---- what only the bucket has


@pytest.fixture
def bucket(aws: Moto, tmp_path: Path) -> BucketStore:
    return BucketStore(f"s3://{BUCKET}/{uuid.uuid4().hex}", FolderStore(tmp_path / "state"))


def test_a_run_of_thousands_of_nodes_makes_few_requests(bucket: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[str] = []
    real = bucket.place

    def counted(key: str, value: bytes, **more: Any) -> bool:
        placed.append(key)
        return real(key, value, **more)

    monkeypatch.setattr(bucket, "place", counted)
    record = RunRecord(bucket, RunRef("dev", "big", "1"))
    record.begin_attempt(0, {})
    for number in range(5_000):
        record.node_started(0, f"model.shop.m{number:05d}", "2026-11-01T06:00:00Z")
    bucket.flush()
    assert len(placed) < 60, "lines are gathered"
    assert len(record.attempts()[0].started) == 5_000


def test_many_segments_are_joined(bucket: BucketStore, aws: Moto) -> None:
    for number in range(70):
        bucket.append("history/dev/x.jsonl", encode({"n": number}) + b"\n")
    assert [line["n"] for line in read_lines(bucket, "history/dev/x.jsonl")] == [*range(70)]
    assert len(aws.objects(f"{bucket.prefix}history/dev/x.jsonl/")) < 40
    left = Log(bucket, "history/dev/x.jsonl")
    left.compact(5)
    assert [line["n"] for line in read_lines(bucket, "history/dev/x.jsonl")] == [*range(65, 70)]


def test_nothing_of_a_secret_is_written(bucket: BucketStore, aws: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2-hunter2")
    redact.refresh()
    bucket.put("a.json", encode({"said": "password hunter2-hunter2 is wrong"}))
    bucket.put_if_absent("b.json", encode({"said": "hunter2-hunter2"}))
    bucket.append("c.jsonl", encode({"said": "hunter2-hunter2"}) + b"\n")
    bucket.append("c.jsonl", encode({"said": "hunter2-hunter2"}) + b"\n", soon=True)
    bucket.flush()
    found = aws.objects(bucket.prefix)
    assert len(found) == 4
    assert not any(b"hunter2" in value for value in found.values())


def test_damage_is_named(bucket: BucketStore) -> None:
    bucket.put("x.json", b'{"half":')
    with pytest.raises(StateError) as caught:
        get_json(bucket, "x.json")
    assert caught.value.code == "state-damaged" and "x.json" in caught.value.message
    assert json.loads(encode({"n": 1})) == {"n": 1}
