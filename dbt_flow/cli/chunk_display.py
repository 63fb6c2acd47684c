"""What a person sees of a backfill while it goes on: a line for each chunk, and a bar on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click

from dbt_flow.cli.terminal import console, printable_on
from dbt_flow.spec.chunks import Chunk
from dbt_flow.state.backfills import Known


class Lines:
    """A line for each chunk that has ended, for logs and pipes."""

    def __init__(self, total: int) -> None:
        self.total, self.count = total, 0
        self.runs: set[str | None] = set()

    def began(self, chunk: Chunk) -> None:
        """A chunk's run was launched."""

    def heard(self, chunk: Chunk, event: dict[str, Any]) -> None:
        """A chunk's run tells something."""

    def tick(self) -> None:
        """Some time has passed."""

    def ended(self, chunk: Chunk, known: Known) -> None:
        """A chunk's run has ended."""
        self.count += 1
        self.runs.add(known.run)
        why = "" if known.status == "success" else f": {known.reason}"
        self.say(f"[{self.count}/{self.total}] {known.status:<9} {chunk} {known.run} {known.seconds:.1f}s{why}")

    def say(self, text: str) -> None:
        """A line of its own."""
        click.echo(printable_on(sys.stderr, text), err=True)


class Display(Lines):
    """A bar over the chunks with how long the rest may take, and how far each running one is."""

    def __init__(self, total: int, live: Any, screen: Any) -> None:
        super().__init__(total)
        self.live, self.screen = live, screen
        self.began_at = time.monotonic()
        self.now: dict[Chunk, list[int]] = {}

    def began(self, chunk: Chunk) -> None:
        """See :class:`Lines`."""
        self.now[chunk] = [0, 0]

    def heard(self, chunk: Chunk, event: dict[str, Any]) -> None:
        """See :class:`Lines`."""
        if event["event"] == "plan":
            self.now[chunk] = [0, len(event["nodes"])]
        elif event["event"] == "end" and chunk in self.now:
            self.now[chunk][0] += 1

    def ended(self, chunk: Chunk, known: Known) -> None:
        """See :class:`Lines`."""
        self.now.pop(chunk, None)
        super().ended(chunk, known)

    def say(self, text: str) -> None:
        """See :class:`Lines`."""
        from rich.text import Text

        self.screen.print(Text(text))

    def tick(self) -> None:
        """See :class:`Lines`."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        took = time.monotonic() - self.began_at
        left = f"about {timedelta(seconds=round(took / self.count * (self.total - self.count)))} left" if self.count else ""
        head = Table.grid(padding=(0, 1))
        head.add_row(
            ProgressBar(self.total, self.count, width=30), Text(f"{self.count}/{self.total} chunks"), Text(left, style="dim")
        )
        rows = [
            Text(f"  {chunk}  {done}/{total or '…'} nodes", style="cyan") for chunk, (done, total) in list(self.now.items())
        ]
        self.live.update(Group(head, *rows), refresh=True)


@contextmanager
def screen_for(total: int, quiet: bool) -> Iterator[Lines]:
    """A live display when a person looks on; lines otherwise."""
    if quiet or not sys.stderr.isatty():
        yield Lines(total)
        return
    from rich.live import Live  # only for who has a terminal

    screen = console()
    with Live(console=screen, auto_refresh=False, transient=True) as live:
        yield Display(total, live, screen)
