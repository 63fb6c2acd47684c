"""Why a node came into a DAG or went, and why it changed: looked for in both states of its dbt project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from dbt_flow.pipeline.evidence import Evidence
from dbt_flow.plan.differences import Because, nearest, neighbours
from dbt_flow.project.traits import Traits
from dbt_flow.records import TEST_TYPES

_SETTINGS = "dbt_project.yml"
_SAID = ("tags", "meta.", "group", "fqn", "access", "config.")
"""Traits by which dbt selects, the likeliest first. What a node reads is looked at last: it acts on others by the graph."""


@dataclass(frozen=True)
class Pair:
    """A dbt project as it was and as it is, parsed for one target and one set of vars."""

    before: Traits
    now: Traits
    evidence: Evidence

    # ---- in a DAG or not

    def membership(self, key: str, came: bool) -> Because:
        """Why dbt selects a node now and did not, or the reverse, with the same words."""
        if key not in self.before or key not in self.now:
            return self.existence(key)
        own = next(self.differences(key), None)
        if own is not None and own.kind != "graph":
            return own
        tested = (self.now if came else self.before).tested(key)
        if tested is not None:
            return Because("with", f"goes with {self._name(tested)}")
        return own or self._by_graph(key)

    def existence(self, key: str) -> Because:
        """Why a node is there now and was not, or the reverse."""
        came = key in self.now
        here, other = (self.now, self.before) if came else (self.before, self.now)
        kind = "test" if here.kind(key) in TEST_TYPES else here.kind(key)
        if other.disabled(key):
            word = "enabled" if came else "disabled"
            files = [*here.files(key), *other.files(key), _SETTINGS]
            return self.evidence.because("enabled", f"{word} by its config", dict.fromkeys(files), ("enabled",))
        text = f"new {kind}" if came else f"{kind} removed"
        known = here.files(key)
        if kind == "test":
            words = here.name(key).split(".")[-1]
            short = [words, *(word for word in ("unique", "not_null", "accepted_values", "relationships") if word in words)]
            return self.evidence.because("new" if came else "removed", text, known, short)
        return self.evidence.plain("new" if came else "removed", text, known[0] if known else None)

    def differences(self, key: str) -> Iterator[Because]:
        """What of a node by which dbt selects is not as it was, the likeliest first."""
        was, is_now = self.before.of(key), self.now.of(key)
        for start in _SAID:
            for trait in [name for name in dict.fromkeys([*is_now, *was]) if name.startswith(start)]:
                if was.get(trait) != is_now.get(trait):
                    yield self._said(key, trait, was.get(trait), is_now.get(trait))
        if was["reads"] != is_now["reads"]:
            yield self._reads(key, was["reads"], is_now["reads"])

    def _said(self, key: str, trait: str, was: object, is_now: object) -> Because:
        if trait == "fqn":
            old, new = self.before.of(key)["path"], self.now.of(key)["path"]
            return self.evidence.plain("path", f"moved from {old} to {new}", str(new))
        files = [*self.now.files(key), *self.before.files(key), _SETTINGS]
        sql = self.now.in_sql(key, trait) or self.before.in_sql(key, trait)
        candidates = [file for file in dict.fromkeys(files) if sql or not file.endswith((".sql", ".py", ".csv"))]
        if trait == "tags":
            added, gone = _less(is_now, was), _less(was, is_now)
            told = [f"tag {', '.join(names)} {verb}" for names, verb in ((added, "added"), (gone, "removed")) if names]
            return self.evidence.because("tag", " and ".join(told), candidates, (*added, *gone))
        name = trait.removeprefix("config.")
        kind = "meta" if trait.startswith("meta.") else "config"
        values = [item for value in (is_now, was) for item in (value if isinstance(value, list) else [value])]
        words = (name.rpartition(".")[2], *(value for value in values if isinstance(value, str)))
        return self.evidence.because(kind, f"{name}: {_told(was)} -> {_told(is_now)}", candidates, words)

    def _reads(self, key: str, was: list[str], is_now: list[str]) -> Because:
        added, gone = [self._name(name) for name in _less(is_now, was)], [self._name(name) for name in _less(was, is_now)]
        told = [f"now reads {', '.join(added)}"] * bool(added) + [f"no longer reads {', '.join(gone)}"] * bool(gone)
        text = f"{self._name(key)} {' and '.join(told)}"
        return self.evidence.because("graph", text, self.now.files(key), (*added, *gone))

    def _by_graph(self, key: str) -> Because:
        """Nothing of the node itself is otherwise: then something above or below it is, and its DAG asks for what is around."""
        near = nearest(key, self._suspects, self._beside)
        if near is None:
            return Because("graph", "by the project's graph")
        if near not in self.before or near not in self.now:
            found = self.existence(near)
            return Because("graph", f"by the graph: {self._name(near)} ({found.text})", found.file, found.line)
        found = next(self.differences(near), Because("graph", "changed"))
        text = found.text if found.text.startswith(self._name(near)) else f"{self._name(near)}: {found.text}"
        return Because("graph", f"by the graph: {text}", found.file, found.line)

    @cached_property
    def _suspects(self) -> frozenset[str]:
        """Nodes, tests apart, that are not selected, or do not stand in the graph, as they were."""
        keys = self.before.parents.keys() | self.now.parents.keys()
        bodies = {key for key in keys if key.partition(".")[0] not in TEST_TYPES}
        gone = {key for key in bodies if key not in self.before or key not in self.now}
        return frozenset(gone | {key for key in bodies - gone if next(self.differences(key), None) is not None})

    @cached_property
    def _beside(self) -> Mapping[str, frozenset[str]]:
        return neighbours((self.before.parents, self.now.parents))

    # ---- changed

    def change(self, key: str, part: str) -> Because:
        """Why a node is not what it was, by the first part of its key that differs."""
        if part == "code":
            return self._code(key)
        if part == "macros":
            return self._macro(key)
        if part == "vars":
            return self.evidence.because("vars", "a var that it reads", [_SETTINGS])
        if part == "project":
            text = "hooks, dispatch, quoting or flags of the project, or a macro of dbt's own that it replaces"
            return self.evidence.because("project", text, [_SETTINGS])
        told = self._configured(key)
        if told:
            return told
        was, is_now = self.before.of(key), self.now.of(key)
        names = [name for name in is_now if was.get(name) != is_now[name]]
        text = ", ".join(name for name in names if name in ("columns", "description")) or "configuration"
        return self.evidence.because("config", text, [*self.now.files(key), _SETTINGS])

    def _configured(self, key: str) -> Because | None:
        """What of its configuration is otherwise; None when it is none of what has a name here."""
        told = [because for because in self.differences(key) if because.kind in ("tag", "meta", "config", "path")]
        text = "; ".join(dict.fromkeys(because.text for because in told))
        return Because(told[0].kind, text, told[0].file, told[0].line) if told else None

    def _code(self, key: str) -> Because:
        """Its SQL is otherwise, or only what ``config()`` says in it."""
        files = sorted(self.now.files(key), key=lambda file: file.endswith((".yml", ".yaml")))
        if self.now.kind(key) == "seed":
            return self.evidence.because("data", "data", files)
        configured = self._configured(key)
        if configured and self.before.body(key) == self.now.body(key):
            return configured
        return self.evidence.because("sql", f"SQL; {configured.text}" if configured else "SQL", files)

    def _macro(self, key: str) -> Because:
        was, is_now = self.before.macros(key), self.now.macros(key)
        names = [name for name in dict.fromkeys([*is_now, *was]) if was.get(name) != is_now.get(name)]
        if not names:
            return Because("macro", "a macro that it uses")
        found = [self.now.macro_file(name) or self.before.macro_file(name) for name in names]
        files = [file for file in found if file]
        told = ", ".join(name.rpartition(".")[2] for name in sorted(names))
        return self.evidence.because("macro", f"macro {told}", dict.fromkeys(files))

    def _name(self, key: str) -> str:
        for side in (self.now, self.before):
            if key in side:
                return side.name(key)
        return key.rpartition(".")[2]


def _less(these: object, those: object) -> list[str]:
    return [str(item) for item in these if item not in those] if isinstance(these, list) and isinstance(those, list) else []


def _told(value: object) -> str:
    if value is None or value in ("", [], {}):
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
