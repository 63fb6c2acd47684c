"""HTTP: events in at ``/metaflow-event``, as in Metaflow's own Argo Events set-up; the page and cards out.

Every answer to a program is JSON, an error with ``code``, ``message`` and ``hint``. What protects it:

- loopback needs no token; any other address needs one (``Authorization: Bearer``, ``x-api-key``, or a browser's password);
- on loopback the ``Host`` must be a loopback name, and a POST must be JSON: a page from elsewhere can then not reach it;
- a bound on connections, on a request's size and on the seconds that it may take; no file is served by its path.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from dbt_flow import __version__
from dbt_flow.errors import DbtFlowError, InputError, StateError
from dbt_flow.serve.event import MAX_BODY, Event, parse
from dbt_flow.serve.runtime import Answer

EVENT_PATH = "/metaflow-event"
CONNECTIONS = 64
PATIENCE = 10.0
"""Seconds that a connection may be silent."""
STATUS: Mapping[str, HTTPStatus] = {
    "event-malformed": HTTPStatus.BAD_REQUEST,
    "event-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "event-reserved": HTTPStatus.FORBIDDEN,
    "event-refused": HTTPStatus.FORBIDDEN,
    "not-accepting": HTTPStatus.SERVICE_UNAVAILABLE,
    "disk-full": HTTPStatus.INSUFFICIENT_STORAGE,
    "unknown-run": HTTPStatus.NOT_FOUND,
}
_LOOPBACK_NAMES = ("localhost", "host.docker.internal")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
_OF_PAGES = "; connect-src 'self'"
_OF_CARDS = "; sandbox allow-scripts allow-popups"
"""A card shows what data and models said: it gets an origin of its own, from which nothing here can be reached."""

Page = Callable[[str, Mapping[str, str]], tuple[str, str] | None]
"""Path and query to (content type, text); None when there is no such page."""


@dataclass(frozen=True)
class Doors:
    """What a request can reach."""

    post: Callable[[Event], Answer]
    page: Page
    clock: Callable[[], float]
    token: str | None = None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Server(ThreadingHTTPServer):
    """A server with a bound on its connections: who comes when all are taken waits in the system's queue."""

    request_queue_size = 1024
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, doors: Doors) -> None:
        """:raises InputError: ``usage`` when the address cannot be had, or is open to others and there is no token."""
        if not is_loopback(host) and not doors.token:
            hint = "set DBT_FLOW_SERVE_TOKEN to a long secret, or serve on 127.0.0.1"
            raise InputError("event-refused", f"{host} can be reached by others, and there is no token", hint=hint)
        self.doors = doors
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        try:
            super().__init__((host.strip("[]"), port), _Handler)
        except OSError as error:
            hint = "name another one: --port PORT"
            raise InputError("usage", f"cannot listen at {host}:{port}: {error.strerror}", hint=hint) from None

    @property
    def url(self) -> str:
        """Where it is reached."""
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, (bytes, bytearray)) else str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait for room, then go on in a thread."""
        self._room.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's news."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = f"dbt-flow/{__version__}"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        try:
            body = self._body()
            self._check_sender()
            if urlsplit(self.path).path.rstrip("/") != EVENT_PATH:
                self._error(
                    HTTPStatus.NOT_FOUND, "usage", f"nothing takes a POST at {self.path[:100]}", f"POST to {EVENT_PATH}"
                )
                return
            kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                hint = "send Content-Type: application/json"
                self._error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "event-malformed", "the body is not said to be JSON", hint)
                return
            answer = self.server.doors.post(parse(body, self.server.doors.clock()))
        except DbtFlowError as error:
            self._refuse(error)
            return
        told: dict[str, Any] = {"event": answer.seq, "duplicate": answer.duplicate, "subscribers": answer.subscribers}
        if not answer.subscribers and not answer.duplicate:
            told["hint"] = "it is kept, and nobody waits for it"
            if answer.near:
                told["hint"] += f"; did you mean {answer.near}?"
        self._json(HTTPStatus.OK, told)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/healthz":
            self._json(HTTPStatus.OK, {"status": "ok", "version": __version__})
            return
        try:
            self._check_sender()
            query = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
            page = self.server.doors.page(unquote(parts.path), {key: unquote(value) for key, value in query.items()})
        except DbtFlowError as error:
            self._refuse(error)
            return
        if page is None:
            self._error(HTTPStatus.NOT_FOUND, "usage", f"there is no page {self.path[:100]}", "begin at /")
            return
        kind, text = page
        self._send(HTTPStatus.OK, kind, text.encode("utf-8", "replace"))

    do_HEAD = do_GET

    # ---- inside

    def _body(self) -> bytes:
        said = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not said.isascii() or not said.isdigit():
            self.close_connection = True
            hint = "send a Content-Length"
            raise InputError("event-malformed", "the length of the body is not said", hint=hint)
        length = int(said[:20])
        if length > MAX_BODY:
            self.close_connection = True
            hint = "send a reference to the data instead of the data"
            raise InputError("event-too-large", f"{length} bytes; an event may have {MAX_BODY}", hint=hint)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            raise InputError("event-malformed", "the body ended early", hint="send it again")
        return body

    def _check_sender(self) -> None:
        token = self.server.doors.token
        if token is None:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
            if not is_loopback(host):
                hint = f"use {self.server.url}"
                raise InputError("event-refused", "this address is for this machine alone", hint=hint)
            return
        given = [self.headers.get("x-api-key", "")]
        kind, _, rest = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            given.append(rest.strip())
        if kind.lower() == "basic":
            try:
                given.append(base64.b64decode(rest, validate=True).decode("utf-8", "replace").partition(":")[2])
            except ValueError:
                given.append("")
        if not any(hmac.compare_digest(one.encode("utf-8", "replace"), token.encode()) for one in given):
            raise _Unknown("event-refused", "a token is needed", hint="send Authorization: Bearer TOKEN")

    def _refuse(self, error: DbtFlowError) -> None:
        status = HTTPStatus.UNAUTHORIZED if isinstance(error, _Unknown) else STATUS.get(error.code, HTTPStatus.BAD_REQUEST)
        if isinstance(error, StateError) and error.code not in STATUS:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        self._error(status, error.code, error.message, error.hint)

    def _error(self, status: HTTPStatus, code: str, message: str, hint: str | None) -> None:
        self._json(status, {"error": {"code": code, "message": message, "hint": hint}})

    def _json(self, status: HTTPStatus, document: Any) -> None:
        self._send(status, "application/json", json.dumps(document, ensure_ascii=True).encode() + b"\n")

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", _POLICY + (_OF_CARDS if self.path.startswith("/cards/") else _OF_PAGES))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="dbt-flow"')
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", "1")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing: what comes in is in the log."""


class _Unknown(InputError):
    """A sender who did not say who it is."""


def in_thread(server: Server) -> threading.Thread:
    """Serve in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="dbt-flow-http", daemon=True)
    thread.start()
    return thread
