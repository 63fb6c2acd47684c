"""What comes in over HTTP: the wire format, and a clear answer to everything that is bad."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from metaflow.integrations import ArgoEvent
from stand import Stand

from dbt_flow.errors import InputError, StateError
from dbt_flow.serve.event import make
from dbt_flow.serve.page import Pages
from dbt_flow.serve.runtime import Answer, Runtime
from dbt_flow.serve.webhook import Doors, Server, in_thread

JSON = {"Content-Type": "application/json"}


@contextmanager
def served(stand: Stand, token: str | None = None) -> Iterator[tuple[Runtime, str]]:
    """A runtime turned by a thread of its own, behind HTTP."""
    made: list[Runtime] = []
    ready, stop = threading.Event(), threading.Event()

    def turn() -> None:
        made.append(stand.runtime())
        ready.set()
        while not stop.is_set():
            made[0].turn(0.02)
        made[0].log.close()

    thread = threading.Thread(target=turn)
    thread.start()
    assert ready.wait(120)
    server = Server("127.0.0.1", 0, Doors(made[0].post, Pages(stand.settings, made[0]).page, time.time, token))
    in_thread(server)
    try:
        yield made[0], server.url
    finally:
        server.shutdown()
        server.server_close()
        stop.set()
        thread.join()


def post(url: str, body: bytes | dict[str, object], headers: dict[str, str] = JSON) -> tuple[int, dict[str, object]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_metaflow_publishes(stand: Stand) -> None:
    """``ArgoEvent(...).publish()``, unchanged."""

    stand.dag("one", "{event: landed}")
    with served(stand) as (_, url):
        identity = ArgoEvent("landed", url=f"{url}/metaflow-event").publish({"x": 1}, ignore_errors=False)
        assert identity
        deadline = time.monotonic() + 120
        while not stand.ended() and time.monotonic() < deadline:
            time.sleep(0.05)
    (order,) = stand.starter.started
    assert order.events[0].id == identity and order.events[0].payload["generated-by-metaflow"] is True


BAD = {
    "not JSON": (b"{", 400, "event-malformed"),
    "empty": (b"", 400, "event-malformed"),
    "a list": (b"[]", 400, "event-malformed"),
    "no name": (b"{}", 400, "event-malformed"),
    "a name that is none": (b'{"name": "../../etc"}', 400, "event-malformed"),
    "a name for a shell": (b'{"name": "x; rm -rf $HOME"}', 400, "event-malformed"),
    "a payload that is none": (b'{"name": "x", "payload": 3}', 400, "event-malformed"),
    "NaN": (b'{"name": "x", "payload": {"y": NaN}}', 400, "event-malformed"),
    "not UTF-8": (b'{"name": "\xff"}', 400, "event-malformed"),
    "deep": (b'{"name":"x","payload":' + b'{"a":' * 9000 + b"1" + b"}" * 9001, 400, "event-malformed"),
    "a huge number": (b'{"name":"x","payload":{"y":' + b"9" * 9000 + b"}}", 400, "event-malformed"),
    "a long id": (b'{"name":"x","payload":{"id":"' + b"i" * 400 + b'"}}', 400, "event-malformed"),
    "an id with a line break": (b'{"name":"x","payload":{"id":"a\\nb"}}', 400, "event-malformed"),
    "large": (b'{"name":"x","payload":{"y":"' + b"a" * 70_000 + b'"}}', 413, "event-too-large"),
    "large when it is escaped": ('{"name":"x","payload":{"y":"' + "é" * 30_000 + '"}}', 413, "event-too-large"),
    "the end of a run": (b'{"name": "metaflow.shop.user.x.One.end"}', 403, "event-reserved"),
}


def test_bad_events_get_a_clear_answer(stand: Stand) -> None:
    stand.dag("one", "{event: landed}")
    with served(stand) as (runtime, url):
        for what, (body, status, code) in BAD.items():
            data = body.encode() if isinstance(body, str) else body
            got, said = post(f"{url}/metaflow-event", data)
            assert (got, said["error"]["code"]) == (status, code), what  # type: ignore[index]
            assert said["error"]["message"] and said["error"]["hint"], what  # type: ignore[index]
        event = {"name": "landed", "payload": {"name": "landed", "id": "1"}}
        assert post(f"{url}/elsewhere", event)[0] == 404
        assert post(f"{url}/metaflow-event", event, {"Content-Type": "text/plain"})[0] == 415
        assert post(f"{url}/metaflow-event", event, {**JSON, "Host": "evil.example"})[0] == 403
        assert (
            post(f"{url}/metaflow-event", {"name": "lnded"})[1]["hint"]
            == "it is kept, and nobody waits for it; did you mean landed?"
        )
        old = {"name": "landed", "payload": {"id": "late", "timestamp": 1}}
        assert post(f"{url}/metaflow-event", old)[0] == 200
        assert post(f"{url}/metaflow-event", {"name": "landed", "payload": {"id": "early", "timestamp": 10**12}})[0] == 200
        first, again = (post(f"{url}/metaflow-event", event)[1] for _ in range(2))
        assert (first["duplicate"], again["duplicate"], first["event"]) == (False, True, again["event"])
        runtime.end()
        assert post(f"{url}/metaflow-event", {"name": "landed"})[0] == 503


def test_a_half_request_holds_nobody_up(stand: Stand) -> None:
    stand.dag("one", "{event: landed}")
    with served(stand) as (_, url):
        host, port = url.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port))) for _ in range(20)]
        for one in slow:
            one.sendall(b"POST /metaflow-event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert post(f"{url}/metaflow-event", {"name": "landed"})[0] == 200
        for one in slow:
            one.close()


def test_a_token(stand: Stand) -> None:
    stand.dag("one", "{event: landed}")
    with pytest.raises(InputError, match="no token"):
        Server("0.0.0.0", 0, Doors(lambda event: None, lambda path, query: None, time.time))  # type: ignore[arg-type,return-value]
    with served(stand, token="s3cret") as (_, url):
        event = {"name": "landed"}
        assert post(f"{url}/metaflow-event", event)[0] == 401
        assert post(f"{url}/metaflow-event", event, {**JSON, "Authorization": "Bearer wrong"})[0] == 401
        for headers in ({"Authorization": "Bearer s3cret"}, {"x-api-key": "s3cret"}, {"Authorization": "Basic eDpzM2NyZXQ="}):
            assert post(f"{url}/metaflow-event", event, {**JSON, **headers})[0] == 200


def test_ten_thousand_at_once_are_all_kept(stand: Stand) -> None:
    """Sent by many at once through the queue behind the webhook; nothing is refused but with a word, and nothing is lost."""

    stand.dag("one", "{event: landed}")
    with served(stand) as (runtime, _):

        def send(number: int) -> int:
            while True:
                try:
                    return runtime.post(make("other", {"id": str(number)}, time.time())).seq
                except StateError as error:
                    assert error.code == "not-accepting"
                    time.sleep(0.01)

        with ThreadPoolExecutor(64) as pool:
            places = set(pool.map(send, range(10_000)))
        assert len(places) == 10_000


def refused(url: str, event: dict[str, object], headers: dict[str, str] = JSON) -> tuple[int, str]:
    """The status and the code; whatever is refused says why and what to do, as JSON."""
    status, said = post(f"{url}/metaflow-event", event, headers)
    error = said["error"]
    assert error["message"] and error["hint"], said  # type: ignore[index]
    return status, error["code"]  # type: ignore[index]


def test_each_refusal_has_a_status_and_says_what_to_do(stand: Stand) -> None:
    stand.dag("one", "{event: landed}")
    landed: dict[str, object] = {"name": "landed"}
    with served(stand, token="s3cret") as (_, url):
        assert refused(url, landed) == (401, "event-refused")
        assert post(f"{url}/nowhere", landed, {**JSON, "x-api-key": "s3cret"})[1]["error"]["hint"] == "POST to /metaflow-event"  # type: ignore[index]
    with served(stand) as (runtime, url):
        assert refused(url, landed, {"Content-Type": "text/plain"}) == (415, "event-malformed")
        assert refused(url, landed, {**JSON, "Host": "evil.example"}) == (403, "event-refused")
        for number in (1, 2):
            said = post(f"{url}/metaflow-event", {"name": "landed", "payload": {"id": "same"}})[1]
            assert said["duplicate"] is (number == 2)
        full = StateError("disk-full", "no space left", hint="free some space")
        server = Server("127.0.0.1", 0, Doors(lambda event: raise_(full), lambda path, query: None, time.time))
        in_thread(server)
        assert refused(server.url, landed) == (507, "disk-full")
        server.shutdown()
        server.server_close()
        runtime.end()
        assert refused(url, landed) == (503, "not-accepting")


def test_a_payload_that_does_not_fit_is_said_to_the_sender(stand: Stand) -> None:
    stand.dag("one", "{event: {name: go, params: {day: when}}}", "params: {day: {type: date, default: today}}\n")
    with served(stand) as (_, url):
        _, said = post(f"{url}/metaflow-event", {"name": "go", "payload": {"when": "2026-13-01"}})
        assert str(said["subscribers"]["one"]).startswith("refused: the parameter day is")  # type: ignore[index]


def raise_(error: Exception) -> Answer:
    raise error
