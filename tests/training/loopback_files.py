"""A third party's API on loopback, which delivers as such APIs do: late, twice, in halves, nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from servers.loopback import Handler, on_loopback

Answer = tuple[int, bytes]
Trouble = Callable[[int, int, dict[str, Any]], Answer | None]
"""Of a page's number, how often it was asked for before, and the page: what is answered instead."""


@dataclass
class Files:
    """What is delivered."""

    rows: list[dict[str, Any]]
    page_size: int = 100
    as_of: str = "2026-11-21"
    trouble: Trouble = lambda number, asked, page: None
    asked: dict[int, int] = field(default_factory=dict)
    url: str = ""

    def page(self, number: int) -> dict[str, Any]:
        parts = [self.rows[at : at + self.page_size] for at in range(0, len(self.rows), self.page_size)] or [[]]
        part = parts[number - 1]
        identity = f"{self.as_of}-{number}"
        return {"id": identity, "as_of": self.as_of, "page": number, "pages": len(parts), "count": len(part), "rows": part}

    def answer(self, number: int) -> Answer:
        page, asked = self.page(number), self.asked.get(number, 0)
        self.asked[number] = asked + 1
        return self.trouble(number, asked, page) or (200, json.dumps(page, default=str).encode())


@contextmanager
def serving(files: Files) -> Iterator[Files]:
    class Pages(Handler):
        def do_GET(self) -> None:
            number = int(parse_qs(urlsplit(self.path).query)["page"][0])
            code, body = files.answer(number)
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with on_loopback(Pages) as port:
        files.url = f"http://127.0.0.1:{port}"
        yield files
