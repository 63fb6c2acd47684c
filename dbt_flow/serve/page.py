"""The page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Pages:
    def __init__(self, settings: Any, runtime: Any) -> None:
        self.settings = settings

    def page(self, path: str, query: Mapping[str, str]) -> tuple[str, str] | None:
        return None
