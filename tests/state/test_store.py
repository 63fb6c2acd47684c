"""The folder store: of many writers one wins, no reader sees half a document, and the disk's troubles have names."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_flow import redact
from dbt_flow.errors import StateError
from dbt_flow.pipeline.isolation import Compiled, Isolation
from dbt_flow.plan.planned import Plan
from dbt_flow.state.store import FolderStore, encode, get_json, put_json, read_lines

KEYS = st.from_regex(r"[a-z]{1,3}(/[a-z0-9_.-]{0,3}[a-z0-9]){0,2}", fullmatch=True).map(lambda key: f"k{key}.d")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "state")


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["put", "put_if_absent", "append"]), KEYS, st.binary(max_size=40)), max_size=12)
)
def test_it_holds_what_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, bytes]]
) -> None:
    store, model = FolderStore(tmp_path_factory.mktemp("state") / "s"), dict[str, bytes]()
    for verb, key, value in steps:
        if any(other.startswith(f"{key}/") or key.startswith(f"{other}/") for other in model):
            continue  # a file cannot be a folder
        if verb == "put":
            store.put(key, value)
            model[key] = value
        elif verb == "put_if_absent":
            assert store.put_if_absent(key, value) == (key not in model)
            model.setdefault(key, value)
        else:
            line = value.replace(b"\n", b"") + b"\n"
            before = model.get(key, b"")
            store.append(key, line)
            model[key] = before + (b"\n" if before and not before.endswith(b"\n") else b"") + line
    assert {key: store.get(key) for key in model} == model
    top = {key.partition("/")[0] for key in model}
    assert store.list("") == sorted(top)


def test_what_comes_at_the_last_moment_has_won(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    file = store.path("won.json")

    def late(act: Callable[..., None]) -> Callable[..., None]:
        """Another process writes, between the last look and the act."""

        def act_too_late(source: object, *more: object, **how: object) -> None:
            file.write_bytes(b"theirs")
            act(source, *more, **how)

        return act_too_late

    for name in ("link", "rename", "replace"):
        monkeypatch.setattr(os, name, late(getattr(os, name)))
    assert not store.put_if_absent("won.json", b"mine")
    assert file.read_bytes() == b"theirs"


def test_a_reader_never_sees_half_a_document(store: FolderStore) -> None:
    documents = [encode({"n": n, "text": "x" * 200_000}) for n in range(2)]
    store.put("big.json", documents[0])
    over = threading.Event()

    def write() -> None:
        for n in range(60):
            store.put("big.json", documents[n % 2])
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not over.is_set():
        assert store.get("big.json") in documents
        seen += 1
    writer.join()
    assert seen
    assert store.list("") == ["big.json"], "what was written beside is gone"


def test_many_processes_may_be_the_first_to_use_a_state_folder(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from dbt_flow.state.store import FolderStore\n"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "FolderStore(Path(sys.argv[1])).put(f'a/b/{sys.argv[3]}', b'1')"
    )
    at = str(time.time() + 1.0)
    folder = str(tmp_path / "deep" / "state")
    processes = [
        subprocess.Popen([sys.executable, "-c", program, folder, at, str(i)], stderr=subprocess.PIPE) for i in range(6)
    ]
    for process in processes:
        assert process.wait(120) == 0, process.stderr and process.stderr.read()
    assert FolderStore(Path(folder)).list("a/b") == [str(i) for i in range(6)]
    assert (Path(folder) / ".gitignore").read_text() == "*\n"


def test_only_its_owner_can_read_it(store: FolderStore) -> None:
    before = os.umask(0)
    try:
        store.put("runs/dev/result.json", b"{}")
        store.append("runs/dev/log.jsonl", b"{}\n")
        store.put_if_absent("runs/dev/once.json", b"{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    for file in (store.folder / "runs/dev").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_a_folder_that_was_there_before_gets_no_gitignore(tmp_path: Path) -> None:
    FolderStore(tmp_path).put("x.json", b"{}")
    assert not (tmp_path / ".gitignore").exists(), "it would hide somebody's own files from git"


@given(lines=st.lists(st.dictionaries(st.text(max_size=4), st.integers()), min_size=1, max_size=5), cut=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_a_line_cut_short_is_dropped_and_spoils_no_other(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, int]], cut: int
) -> None:
    store = FolderStore(tmp_path_factory.mktemp("state") / "s")
    for line in lines:
        store.append("log.jsonl", encode(line) + b"\n")
    file = store.path("log.jsonl")
    whole = file.read_bytes()
    left = whole[: max(0, len(whole) - cut)]
    file.write_bytes(left)
    kept = [json.loads(part) for part in left.splitlines() if _is_json(part)]
    assert list(read_lines(store, "log.jsonl")) == kept
    store.append("log.jsonl", b'{"after": 1}\n')
    assert list(read_lines(store, "log.jsonl")) == [*kept, {"after": 1}]


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("verb", ["append"])
def test_a_full_disk_is_one_clear_error(store: FolderStore, verb: str) -> None:
    store.put("other", b"")
    (store.folder / "full.jsonl").symlink_to("/dev/full")
    with pytest.raises(StateError) as caught:
        store.append("full.jsonl", b"{}\n")
    assert caught.value.code == "disk-full"
    assert "no space left" in caught.value.message
    assert caught.value.hint


def test_a_file_in_the_place_of_a_folder_is_one_clear_error(store: FolderStore) -> None:
    store.put("runs", b"")
    for attempt in (lambda: store.put("runs/x", b""), lambda: store.append("runs/x", b"")):
        with pytest.raises(StateError) as caught:
            attempt()
        assert caught.value.code == "state-damaged"
    (store.folder / "folder").mkdir()
    with pytest.raises(StateError):  # whatever else the system says has a message too
        store.put("folder", b"")


def test_damage_is_named(store: FolderStore) -> None:
    store.put("x.json", b'{"half":')
    with pytest.raises(StateError) as caught:
        get_json(store, "x.json")
    assert caught.value.code == "state-damaged"
    assert "x.json" in caught.value.message
    assert get_json(store, "none.json") is None
    put_json(store, "y.json", {"ü": (1, 2)})
    assert get_json(store, "y.json") == {"ü": [1, 2]}


def test_a_binary_document_stays_as_it_is(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2-hunter2")
    redact.refresh()
    packed = b"\x81\xa3sql\xafhunter2-hunter2\xff\n\x00"
    store.put("compiled/x/manifest.msgpack", packed)
    assert store.put_if_absent("compiled/y/manifest.msgpack", packed)
    assert store.get("compiled/x/manifest.msgpack") == store.get("compiled/y/manifest.msgpack") == packed
    store.put("runs/x/metaflow.log", b"\xff hunter2-hunter2\n")  # a text with a byte that is none
    assert store.get("runs/x/metaflow.log") == b"\xff *****\n"


def test_the_compiled_manifest_of_a_run_holds_no_secret_and_comes_back_whole(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2-hunter2")
    redact.refresh()
    manifest = msgpack.packb({"nodes": {"sql": "select 'hunter2-hunter2'"}})
    shape = Isolation("k", "dev", None, ())
    compiled = Compiled(store, "k")
    compiled.put(shape, Plan("x", "p", "dev", "duckdb", (), (), (), ()), {}, manifest)
    assert b"hunter2" not in (store.get("compiled/k/manifest.msgpack") or b"")
    assert compiled.manifest() == manifest
