"""A digest of each node's code: what a run records, so that a later one can say whether the code has changed since."""

from __future__ import annotations

import hashlib
from typing import Any

from dbt_flow.project.seams import contents

_LENGTH = 12


class CodeReader:
    """Digests of nodes of one manifest; each macro is looked at once."""

    def __init__(self, manifest: Any, adapter: str) -> None:
        self._macros = manifest.macros
        # dbt's own change with dbt, and would make every node look changed after an upgrade.
        self._foreign = {"dbt", f"dbt_{adapter}"}
        self._known: dict[str, str] = {}

    def digest(self, node: Any) -> str:
        """Of the node's file or arguments, its config as it is written, and the macros that it calls, through and through."""
        checksum = getattr(node, "checksum", None)
        own = getattr(checksum, "checksum", checksum) or getattr(node, "raw_code", "")
        test = getattr(node, "test_metadata", None)
        arguments = sorted(test.kwargs.items(), key=str) if test is not None else ()
        config = sorted((getattr(node, "unrendered_config", None) or {}).items(), key=str)
        macros = sorted(self._macro(macro, ()) for macro in contents.macros(node))
        return _short(repr((own, arguments, config, macros)))

    def _macro(self, key: str, above: tuple[str, ...]) -> str:
        macro = self._macros.get(key)
        if macro is None or macro.package_name in self._foreign or key in above:
            return ""
        if key not in self._known:
            called = sorted(self._macro(other, (*above, key)) for other in contents.macros(macro))
            self._known[key] = _short(repr((macro.macro_sql, called)))
        return self._known[key]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_LENGTH]
