"""``subjects()``: what of a project decides whether a node's last result still holds, as digests by part.

A node's dictionary in the manifest goes in whole, less what says nothing of what is built (:data:`LEFT_OUT`): a field that dbt
adds tomorrow changes the key, and the node is built. No text of the project leaves this module, and no value of a var.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dbt.adapters.factory import get_adapter_package_names

from dbt_flow.project.macro_uses import MacroUses, Reach, digest
from dbt_flow.project.parse_cache import dbt_versions
from dbt_flow.project.parsing import Parsed
from dbt_flow.project.place import working_in
from dbt_flow.project.seams import contents, invocation
from dbt_flow.records import Subject

LEFT_OUT = frozenset(
    {
        "created_at",
        "compiled",
        "compiled_code",
        "compiled_path",
        "extra_ctes",
        "extra_ctes_injected",
        "build_path",
        "patch_path",
    }
    | {
        "unrendered_config",
        "unrendered_config_call_dict",
        "config_call_dict",
        "root_path",
        "checksum",
        "depends_on",
        "deferred",
    }
    | {
        "patch_path",
        "defer_relation",
        "docs",
        "doc_blocks",
        "raw_code",
        "_event_status",
        "original_file_path",
        "refs",
        "sources",
    }
)
"""Of a node's dictionary: when it was read, where its file lies, what is made from the rest, what stands in another part."""

SEEN_THROUGH = frozenset({"view", "ephemeral", "function"})
"""What holds no rows: who reads it reads what it stands on, by its code."""

ENGINES: Mapping[str, tuple[str, ...]] = {"duckdb": ("duckdb",), "postgres": ("psycopg2-binary", "psycopg2")}
"""What computes inside this process, or reads for it, beside dbt's own distributions."""

WHOLE_FLAGS = ("FULL_REFRESH", "EMPTY", "SAMPLE", "EVENT_TIME_START", "EVENT_TIME_END", "DEFER", "STORE_FAILURES")
"""Flags of dbt under which a run means something else: nothing is reused in such a run, nor later from it."""


def odd_flags(parsed: Parsed, said: Sequence[str] = ()) -> tuple[str, ...]:
    """Those of :data:`WHOLE_FLAGS` that are set, by whatever means dbt takes them from.

    :param said: what the run's own options add to dbt's command line.
    """
    with working_in(parsed.project.folder), invocation.flags_of(["build", *parsed.arguments(), *said]) as flags:
        return tuple(name for name in WHOLE_FLAGS if getattr(flags, name, None))


def subjects(parsed: Parsed, ids: Iterable[str], values: Mapping[str, Any]) -> dict[str, Subject]:
    """A subject for each of ``ids`` and for all that they read, up to what holds rows.

    :param values: the vars that the run gives to dbt: the DAG's, and the run's parameters.
    """
    reader = _Reader(parsed, values)
    planned = frozenset(ids)
    waiting, seen = list(planned), set[str]()
    while waiting:
        key = waiting.pop()
        found = reader.subject(key)
        if found is None or key in seen:
            continue
        seen.add(key)
        if key in planned or found.kind in SEEN_THROUGH:
            waiting += found.parents
    return {key: reader.known[key] for key in seen}


class _Reader:
    """One manifest, with one set of vars."""

    def __init__(self, parsed: Parsed, values: Mapping[str, Any]) -> None:
        self.parsed = parsed
        self.values = values
        self.known: dict[str, Subject] = {}
        manifest, config = parsed.manifest, parsed.config
        self.all = {node.unique_id: node for node in contents.everything(manifest)}
        internal = get_adapter_package_names(config.credentials.type)
        self.uses = MacroUses(manifest, internal, str(config.project_name))
        self.everywhere = self.uses.overriding
        self.packages = {str(config.project_name): config, **(config.load_dependencies() or {})}
        self.shared = {
            "versions": digest(_versions(config.credentials.type), self.uses.internals),
            "target": _target(parsed),
            "project": self._project(),
        }

    def _project(self) -> str:
        """What acts on every node: hooks around the run, overridden macros, where macros are looked for, dbt's behaviour."""
        config = self.parsed.config
        hooks = [node for key, node in sorted(self.parsed.manifest.nodes.items()) if key.startswith("operation.")]
        reached = [self.uses.of(node.raw_code) for node in hooks]
        around = [(node.raw_code, reach.macros, self._vars(reach, node)) for node, reach in zip(hooks, reached, strict=True)]
        flags = config.flags
        return digest(around, self.everywhere.macros, _json(config.dispatch), _json(config.quoting), _json(flags))

    def subject(self, key: str) -> Subject | None:
        """The subject of a node; None for what is neither built nor read (a metric, an exposure)."""
        if key in self.known:
            return self.known[key]
        node = self.all.get(key)
        if node is None:
            return None
        kind = _kind(node)
        parents = contents.parents(node)
        if kind == "source":
            found = Subject(key, f"{node.source_name}.{node.name}", kind, relation=node.relation_name)
        else:
            found = self._built(node, kind, parents)
        self.known[key] = found
        return found

    def _built(self, node: Any, kind: str, parents: tuple[str, ...]) -> Subject:
        plain = node.to_dict(omit_none=True)
        config = plain.get("config", {})
        text = _text(node, plain)
        reach = self.uses.of(text, f"materialization_{config.get('materialized')}_default", *_named(node))
        if not config.get("persist_docs") and not {"model", "graph"} & reach.words.names:
            plain = _without_descriptions(plain)
        words = reach.words
        itself = kind in ("incremental", "snapshot") or bool({"this", "load_relation"} & words.names)
        return Subject(
            id=node.unique_id,
            name=str(node.search_name),
            kind=kind,
            key={
                "code": digest(getattr(node, "raw_code", ""), _seed(node) if kind == "seed" else ""),
                "config": digest(_json({name: value for name, value in plain.items() if name not in LEFT_OUT})),
                "macros": reach.macros,
                "vars": self._vars(reach, node),
                "upstream": digest(*(self._above(parent, whole=kind == "unit_test") for parent in sorted(parents))),
                **self.shared,
            },
            never=self._never(node, kind, config, reach) or self._inherited(kind, parents),
            parents=parents,
            relation=getattr(node, "relation_name", None) if kind not in ("ephemeral", "test", "unit_test") else None,
            itself=itself and kind not in ("test", "unit_test", "view"),
        )

    def _above(self, key: str, whole: bool) -> str:
        """A parent, as its children's key has it: its relation, and its code where that is what they read."""
        found = self.subject(key)
        if found is None:
            return key
        return digest(key, found.relation, sorted(found.key.items()) if whole or found.kind in SEEN_THROUGH else "")

    def _inherited(self, kind: str, parents: tuple[str, ...]) -> str:
        """What never holds because of a parent whose code stands in the node's own."""
        for parent in map(self.subject, parents):
            if parent is not None and parent.never and (kind == "unit_test" or parent.kind == "ephemeral"):
                return f"{parent.never} ({parent.name})"
        return ""

    def _vars(self, reach: Reach, node: Any) -> str:
        """The values of the vars that the node can read; all of them where a name does not stand in the code."""
        words, also = reach.words, self.everywhere.words
        names = None if words.any_var or also.any_var else words.vars | also.vars
        layers = {"": self.values, **{name: _vars_of(project) for name, project in self.packages.items()}}
        seen = [
            _json([place, name, layer[name]])
            for place, layer in sorted(layers.items())
            for name in sorted(layer)
            if names is None or name in names or isinstance(layer[name], dict)  # a package's own vars stand under its name
        ]
        return digest(str(node.package_name) if seen else "", *seen)

    def _never(self, node: Any, kind: str, config: Mapping[str, Any], reach: Reach) -> str:
        """Why the node's result never holds; empty when it may."""
        volatile = reach.words.volatile or self.everywhere.words.volatile
        reasons = (
            (contents.meta(node).get("reuse") == "never", "its meta says reuse: never"),
            (getattr(node, "language", "sql") == "python", "it is a Python model"),
            (kind not in _KINDS, f"what is built as {kind} is built anew each time"),
            (config.get("incremental_strategy") == "microbatch", "its batches follow the clock"),
            (bool(config.get("pre-hook") or config.get("post-hook")), "it has hooks"),
            (kind == "test" and config.get("store_failures"), "it stores its failures"),
            (kind == "test" and config.get("store_failures_as"), "it stores its failures"),
            (bool(volatile), f"it uses {volatile}"),
        )
        return next((reason for found, reason in reasons if found), "")


_KINDS = frozenset({"table", "view", "ephemeral", "incremental", "snapshot", "seed", "test", "unit_test", "source"})


def _kind(node: Any) -> str:
    kind = contents.resource_type(node)
    return str(node.config.materialized) if kind == "model" else kind


def _versions(adapter: str) -> list[str]:
    found = [f"{name}=={number}" for name, number in dbt_versions().items()]
    for name in ENGINES.get(adapter, ()):
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _target(parsed: Parsed) -> str:
    """Where and as whom: what dbt itself shows of a profile (``dbt debug``), which holds no password."""
    credentials = parsed.config.credentials
    shown = sorted((name, value) for name, value in credentials.connection_info(with_aliases=True) if name != "threads")
    return digest(
        parsed.target.name, credentials.type, credentials.schema, credentials.database, parsed.target.path, _json(shown)
    )


def _text(node: Any, plain: Mapping[str, Any]) -> str:
    """All that dbt renders for the node: its code, hooks, a test's arguments, a source's query."""
    config = plain.get("config", {})
    rest = {name: config[name] for name in ("pre-hook", "post-hook", "where") if config.get(name)}
    rest["test"] = plain.get("test_metadata")
    rest["overrides"] = plain.get("overrides")
    return f"{getattr(node, 'raw_code', '') or ''}\n{_json(rest)}"


def _named(node: Any) -> list[str]:
    """Macros that dbt finds by a name made from the node's."""
    test = getattr(node, "test_metadata", None)
    return [f"test_{test.name}"] if test is not None else []


def _without_descriptions(plain: Mapping[str, Any]) -> dict[str, Any]:
    columns = {name: {**column, "description": ""} for name, column in plain.get("columns", {}).items()}
    return {**plain, "description": "", "columns": columns}


def _seed(node: Any) -> str:
    """The digest of a seed's file: dbt's own takes the path alone for a large one."""
    folder = node.root_path or ""
    return hashlib.sha256((Path(folder) / node.original_file_path).read_bytes()).hexdigest()


def _vars_of(project: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = project.vars.to_dict()
    return found


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=_plainly)


def _plainly(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return sorted(map(str, value)) if isinstance(value, (set, frozenset)) else str(value)
