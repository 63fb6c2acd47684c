"""A CI system's webhook on loopback: takes what it is sent, and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from servers.loopback import Handler, on_loopback


@dataclass
class Hook:
    """What it has heard. ``answers`` are given one after the other, then 200: a status, or ``never``."""

    answers: list[int | str] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def hooked(hook: Hook) -> Iterator[Hook]:
    class Heard(Handler):
        def do_POST(self) -> None:
            hook.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = hook.answers.pop(0) if hook.answers else 200
            if answer == "never":
                self.wfile.write(b"HTTP/1.1 2")  # so that it is not the socket's silence that ends it
                hook.over.wait(60)
                return
            self.send_response(int(answer))
            self.send_header("Content-Length", "0")
            self.end_headers()

    with on_loopback(Heard) as port:
        hook.url = f"http://127.0.0.1:{port}/builds?token=x"
        try:
            yield hook
        finally:
            hook.over.set()
