"""What goes on, for whoever waits: one line that changes on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from dbt_flow.cli.terminal import console

_EVERY = 2.0
"""Seconds between two plain lines: a log is not filled with numbers."""


@contextmanager
def progress(first: str) -> Iterator[Callable[[str], None]]:
    """Shows ``first``, then whatever the function that it gives is told."""
    if sys.stderr.isatty():
        with console().status(first) as status:
            yield status.update
        return
    began = told = time.monotonic()

    def tell(text: str) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _EVERY:
            told = now
            click.echo(f"{now - began:.0f} s: {text}", err=True)

    yield tell
