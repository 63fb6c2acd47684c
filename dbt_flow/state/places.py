"""Which store: the state folder, or a bucket with the folder beside it for what only this machine can know."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from dbt_flow.settings import Settings
from dbt_flow.state.bucket import BucketStore
from dbt_flow.state.store import FolderStore, Store

PLACES_VARIABLE = "DBT_FLOW_PLACES"
"""Set for the tasks of a ``resume``, whose Config is that of the run that is resumed: where everything is here, as JSON."""


def store_of(settings: Settings) -> Store:
    """Where runs are remembered."""
    return open_store(settings.state, settings.bucket)


def shown(settings: Settings, key: str) -> str:
    """Where a document lies, as a person would type it."""
    return f"{settings.bucket}/{key}" if settings.bucket else settings.shown(settings.state / key)


def open_store(folder: Path, bucket: str | None = None) -> Store:
    """The store in a folder, or in ``bucket`` (``s3://name/prefix``)."""
    return _in_bucket(bucket, folder, os.getpid()) if bucket else FolderStore(folder)


@cache
def _in_bucket(bucket: str, folder: Path, process: int) -> BucketStore:  # noqa: ARG001 - a fork has its own
    """One for the whole process: lines on their way to the bucket are flushed by whoever asks."""
    return BucketStore(bucket, FolderStore(folder))
