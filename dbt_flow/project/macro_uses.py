"""Which macros a template may reach, by content.

That is more than dbt knows of: what stands in a branch that parsing does not enter counts too.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dbt_flow.project.jinja_words import Words, words_of

ANSWERED = frozenset({"is_incremental", "should_full_refresh", "should_store_failures"})
"""Macros of dbt's own that ask for what is looked at anyway: whether the relation is there, and dbt's flags."""

NAMING = ("generate_schema_name", "generate_alias_name", "generate_database_name")
"""dbt calls them for every node while it parses. Overridden in nearly every project; what they say stands in its relation."""

BUILTINS = frozenset({"ref", "source", "config", "var", "env_var", "function", "return", "this"})


def digest(*parts: object) -> str:
    """Short, and the same on every machine for the same text."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True)
class Reach:
    """What a template may use, macros included."""

    macros: str
    """A digest of the text of every macro of the project and its packages that it may call."""
    words: Words
    """All of it together; ``volatile`` says where."""


class MacroUses:
    """The macros of one manifest."""

    def __init__(self, manifest: Any, internal: Iterable[str], project: str) -> None:
        """:param internal: the packages that dbt and its adapter bring along."""
        self._internal = frozenset(internal)
        self._project = project
        self._macros = manifest.macros
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for key, macro in self._macros.items():
            for name in {macro.name, macro.name.partition("__")[2]} - {""}:
                self._by_name[name].append(key)
        self._deep: dict[str, str] = {}

    @cached_property
    def internals(self) -> str:
        """A digest of every macro of dbt's own and the adapter's: each node's SQL goes through them."""
        return digest(*(self._macros[key].macro_sql for key in sorted(self._macros) if self._is_internal(key)))

    @cached_property
    def overriding(self) -> Reach:
        """What the project puts in the place of dbt's own macros: it may act on any node."""
        own = {name for name, keys in self._by_name.items() if any(self._is_internal(key) for key in keys)} | BUILTINS
        found = [
            key
            for key, macro in self._macros.items()
            if macro.package_name == self._project
            and {macro.name, macro.name.partition("__")[2]} & own
            and not macro.name.endswith(NAMING)
            and not macro.name.startswith(("test_", "materialization_"))
        ]
        return self._reach(found, Words())

    def of(self, template: str, *names: str) -> Reach:
        """What ``template`` may use, and the macros called ``names``."""
        words = words_of(template)
        return self._reach([], Words(words.names | set(names), words.vars, words.any_var, words.volatile))

    def _reach(self, macros: list[str], words: Words) -> Reach:
        found, waiting = set(macros), [*macros]
        names, read, any_var, volatile = set(words.names), set(words.vars), words.any_var, words.volatile
        waiting += [key for name in words.names for key in self._by_name.get(name, ()) if key not in found]
        while waiting:
            key = waiting.pop()
            if self._is_internal(key):
                volatile = volatile or self._within(key)
                continue
            if key in found and key not in macros:
                continue
            found.add(key)
            macro = self._macros[key]
            inner = words_of(macro.macro_sql)
            volatile = volatile or (f"{inner.volatile} in the macro {macro.name}" if inner.volatile else "")
            any_var = any_var or inner.any_var
            read |= inner.vars
            names |= inner.names
            waiting += [other for name in inner.names for other in self._by_name.get(name, ()) if other not in found]
            macros = [other for other in macros if other != key]
        text = digest(*(f"{key}\n{self._macros[key].macro_sql}" for key in sorted(found)))
        return Reach(text, Words(frozenset(names), frozenset(read), any_var, volatile))

    def _within(self, key: str) -> str:
        """What one of dbt's own macros asks of the run or the warehouse, itself or in what it calls."""
        if key in self._deep:
            return self._deep[key]
        self._deep[key] = ""  # a circle says nothing new
        macro = self._macros[key]
        if macro.name in ANSWERED or macro.name.partition("__")[2] in ANSWERED or macro.name.startswith("materialization_"):
            return ""
        words = words_of(macro.macro_sql)
        said = words.volatile
        for called in macro.depends_on.macros:
            if not said and called in self._macros and called != key:
                said = self._within(called)
        for other in self._by_name.get(macro.name, ()) if not said else ():
            if other != key and self._is_internal(other):
                said = said or self._within(other)
        self._deep[key] = f"{said.partition(' in ')[0]} in dbt's macro {macro.name}" if said else ""
        return self._deep[key]

    def _is_internal(self, key: str) -> bool:
        return self._macros[key].package_name in self._internal
