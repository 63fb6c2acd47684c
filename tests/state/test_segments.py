"""Logs in a bucket, written by several threads: the moments between two requests, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbt_flow.state.segments import Log, Writer


@dataclass
class Shelf:
    """Objects in memory; ``meanwhile`` is called once, when the next one has been placed."""

    kept: dict[str, bytes] = field(default_factory=dict)
    meanwhile: Callable[[], None] | None = None

    def fetch(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def place(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        if if_absent and key in self.kept:
            return False
        self.kept[key] = value
        called, self.meanwhile = self.meanwhile, None
        if called is not None:
            called()
        return True

    def objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        return iter([{"Key": key} for key in sorted(self.kept) if key.startswith(prefix)])

    def remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.kept.pop(key, None)


def test_a_line_that_comes_while_others_are_written_is_not_lost_and_not_doubled() -> None:
    """A node ends on dbt's thread while the watchdog's notes how the step ended."""
    shelf = Shelf()
    writer = Writer(shelf)
    writer.add("a.jsonl", b"one\n", soon=True)
    shelf.meanwhile = lambda: writer.add("a.jsonl", b"two\n", soon=True)
    writer.add("a.jsonl", b"how it ended\n", soon=False)
    writer.add("a.jsonl", b"three\n", soon=True)
    writer.flush()
    assert (Log(shelf, "a.jsonl").read() or b"").split() == b"one how it ended two three".split()
