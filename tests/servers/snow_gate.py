"""A gate before fakesnow: it writes down what the connector sends, and refuses as Snowflake does, in Snowflake's own words."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

QUERIES = "/queries/v1/query-request"
LOGIN = "/session/v1/login-request"


@dataclass
class Gate:
    """What is refused, and what has come by."""

    behind: int | None
    """fakesnow's port; without one nothing but refusals is answered."""
    port: int = 0
    login: tuple[str, str] | None = None
    """Code and message of every login."""
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Code and message of each statement with a text in it."""
    once: dict[str, tuple[str, str] | None] = field(default_factory=dict)
    """The same, for the first such statement alone; None cuts the connection, once the statement has come."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Statements, each with the query tag that came with it."""


@contextmanager
def gate(behind: int | None = None, login: tuple[str, str] | None = None) -> Iterator[Gate]:
    """Open one on a free port."""
    kept = Gate(behind, login=login)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            plain = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
            path = self.path.partition("?")[0]
            wrong = kept.login if path == LOGIN else None
            if path == QUERIES:
                body = json.loads(plain)
                kept.seen.append((body["sqlText"], (body.get("parameters") or {}).get("QUERY_TAG", "")))
                wrong = next((answer for text, answer in kept.refused.items() if text in body["sqlText"]), None)
                for text in [text for text in kept.once if text in body["sqlText"]]:
                    wrong = kept.once.pop(text)
                    if wrong is None:
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return
            if wrong or kept.behind is None:
                code, message = wrong or ("390100", "nobody is behind this gate")
                key = "01b2c3d4-0000-1111-2222-333344445555"
                data = {"errorCode": code, "sqlState": "42000", "queryId": key}
                self._answer(200, json.dumps({"data": data, "code": code, "message": message, "success": False}).encode())
                return
            self._pass_on(raw)

        def _pass_on(self, raw: bytes) -> None:
            names = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")}
            names["Accept-Encoding"] = "identity"
            asked = urllib.request.Request(f"http://127.0.0.1:{kept.behind}{self.path}", raw, names, method="POST")
            try:
                with urllib.request.urlopen(asked, timeout=120) as answer:
                    self._answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self._answer(error.code, error.read())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = server.server_address[1]
    worker = threading.Thread(target=server.serve_forever, daemon=True)
    worker.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
