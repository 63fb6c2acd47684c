"""S3 on a bad day: stands between a client and moto, and for some requests answers as S3 does when it cannot."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from servers.loopback import Handler, on_loopback

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
EXPIRED = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"

Mood = Callable[[str, str], str | None]
"""For a method and a path: what goes wrong, or None.

``500``; ``half`` of a body; ``written``, and then 500; ``denied``; ``expired``; ``slow``, no answer at all.
"""


class RudeS3:
    """What it is to do, and what it was asked."""

    def __init__(self) -> None:
        self.mood: Mood = lambda method, path: None
        self.asked: list[tuple[str, str]] = []
        self.url = ""
        self.over = threading.Event()
        """Set when nobody waits any more for an answer that is slow."""

    def once(self, mood: str, method: str) -> None:
        """For the next request of that method."""
        left = [mood]
        self.mood = lambda verb, path: left.pop() if left and verb == method else None


@contextmanager
def rude_s3(behind: str) -> Iterator[RudeS3]:
    """Between who asks and the server at ``behind``, until the block ends."""
    rude = RudeS3()

    class Between(Handler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            rude.asked.append((self.command, self.path))
            mood = rude.mood(self.command, self.path)
            if mood == "slow":
                rude.over.wait(60)
                self.close_connection = True
                return
            if mood in ("500", "denied", "expired"):
                status = {"500": 503, "denied": 403, "expired": 400}[mood]
                self.send({"500": SLOW_DOWN, "denied": DENIED, "expired": EXPIRED}[mood], status, {})
                return
            status, headers, said = self.passed_on(body)
            if mood == "written":
                self.send(SLOW_DOWN, 503, {})
            elif mood == "half":
                self.send(said[: len(said) // 2], status, headers, length=len(said))
                self.close_connection = True
            else:
                self.send(said, status, headers)

        def passed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "expect")}
            headers.setdefault("Content-Type", "application/octet-stream")  # else it would be said to be a form
            request = urllib.request.Request(behind + self.path, body or None, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as found:
                    return found.status, dict(found.headers), found.read()
            except urllib.error.HTTPError as error:
                return error.code, dict(error.headers), error.read()

        def send(self, body: bytes, status: int, headers: dict[str, str], length: int | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

    with on_loopback(Between) as port:
        rude.url = f"http://127.0.0.1:{port}"
        try:
            yield rude
        finally:
            rude.over.set()
