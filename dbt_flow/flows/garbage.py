"""How often a process of ours looks for garbage: called where it starts, so it loads nothing."""

from __future__ import annotations

import gc

_NEW_OBJECTS = 100_000
"""Python's own 700 cost a third of the CPU time of a run in a project of 5,000 models: a manifest is a million objects that
stay, and each look goes through many of them again."""


def seldom() -> None:
    """From now on look for garbage only once in so many new objects."""
    gc.set_threshold(_NEW_OBJECTS)
