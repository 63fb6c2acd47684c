"""What counts as a secret, where it is replaced, and what is left alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from dbt_flow import redact
from dbt_flow.report.words import clean, one_line, swept
from dbt_flow.state.store import FolderStore, get_json, put_json

SECRET = "hunter2-and-more"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", SECRET)
    redact.refresh()


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("DBT_ENV_SECRET_X", "abcd", True),
        ("DBT_ENV_SECRET_X", "abc", False),
        ("DB_PASSWORD", "s3cr3t", True),
        ("DB_PASSWORD", "short", False),
        ("API_TOKEN", "tok-123", True),
        ("DATADOG_API_KEY", "abcdef", True),
        ("AWS_SECRET_ACCESS_KEY", "abcdefgh", True),
        ("AWS_ACCESS_KEY_ID", "AKIA123456", False),
        ("SSH_KEY_PATH", "some/path", False),
        ("SECRETS_FOLDER", "/tmp", False),
        ("HF_TOKEN_SAVED", "disabled", False),
        ("PATH", "/usr/bin", False),
        ("DBT_TARGET", "production", False),
    ],
)
def test_what_is_a_secret(name: str, value: str, secret: bool) -> None:
    assert (value in redact.secrets({name: value})) is secret


def test_secrets_are_replaced_in_texts_documents_and_files(tmp_path: Path) -> None:
    said = f"cannot log in with {SECRET}!"
    assert redact.text(said) == clean(said) == one_line(said) == "cannot log in with *****!"
    assert swept({"a": [said], said: 1}) == {"a": ["cannot log in with *****!"], "cannot log in with *****!": 1}
    store = FolderStore(tmp_path)
    put_json(store, "a.json", {"message": said, "rows": 5})
    assert get_json(store, "a.json") == {"message": "cannot log in with *****!", "rows": 5}
    store.append("log.jsonl", json.dumps({"m": said}).encode() + b"\n")
    store.append("log.jsonl", b'{"m":"fine"}\n')
    store.put("card.html", f"<p>{said}</p>".encode())
    assert store.put_if_absent("b", said.encode())
    assert not [file for file in tmp_path.iterdir() if SECRET.encode() in file.read_bytes()]
    assert store.get("card.html") == b"<p>cannot log in with *****!</p>"
    assert store.get("log.jsonl") == b'{"m":"cannot log in with *****!"}\n{"m":"fine"}\n'


def test_ids_of_nodes_stay_because_everything_is_joined_on_them() -> None:
    redact.learn(["orders"])
    assert redact.document({"model.shop.orders": "orders"}) == {"model.shop.orders": "*****"}


def test_passwords_in_addresses() -> None:
    assert redact.text("at postgres://me:pw@host:5432/db") == "at postgres://me:*****@host:5432/db"
    assert redact.text("see https://host/a:b@c") == "see https://host/a:b@c"


def test_quoted_and_many_lined_secrets() -> None:
    redact.learn(['with "quotes"', "-----BEGIN KEY-----\nfirst line of it\nsecond line of it\n-----END KEY-----"])
    assert redact.text(json.dumps({"a": 'with "quotes"'})) == '{"a": "*****"}'
    assert redact.text("saw second line of it") == "saw *****"
    assert redact.text("-----BEGIN KEY-----") == "-----BEGIN KEY-----"


def test_the_profile_s_secret_fields_are_learnt() -> None:
    fields = {"user": "analyst", "password": "pw-of-the-profile", "plugins": [{"config": {"token": "tok-of-a-plugin"}}]}
    redact.learn_fields({**fields, "private_key_path": "/keys/mine.p8", "database": "analytics"})
    assert redact.text("analyst pw-of-the-profile tok-of-a-plugin /keys/mine.p8 analytics") == (
        "analyst ***** ***** /keys/mine.p8 analytics"
    )


def test_it_costs_little() -> None:
    text = "a message of a common length, from a warehouse " * 4
    began = time.process_time()
    for _ in range(20_000):
        redact.text(text)
    assert time.process_time() - began < 20.0


def test_what_is_learnt_while_another_thread_looks_is_hidden_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """dbt's threads write lines while the profile's password becomes known."""
    find, looking, go = redact.secrets, threading.Event(), threading.Event()

    def slow(environ: Mapping[str, str] | None = None) -> frozenset[str]:
        found = find(environ)
        if threading.current_thread().name == "slow":
            looking.set()
            go.wait(60)
        return found

    def learn() -> None:
        redact.learn(["learnt-just-now"])
        redact.text("x")

    monkeypatch.setattr(redact, "secrets", slow)
    redact.refresh()
    threads = [threading.Thread(target=redact.text, args=("x",), name="slow"), threading.Thread(target=learn)]
    threads[0].start()
    assert looking.wait(60)
    threads[1].start()
    threads[1].join(0.5)  # it may have to wait for the other
    go.set()
    for thread in threads:
        thread.join(60)
    try:
        assert redact.text("it is learnt-just-now") == f"it is {redact.HIDDEN}"
    finally:
        redact._learnt.discard("learnt-just-now")
        redact.refresh()
