"""What a manifest says of a node that can bring it into a selection or take it out, as flat facts that can be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dbt_flow.project.parsing import Parsed
from dbt_flow.project.seams import contents
from dbt_flow.records import TEST_TYPES

_CONFIG = re.compile(r"\{\{-?\s*config\(.*?\)\s*-?\}\}", re.S)
_OWN_PLACE = frozenset({"tags", "meta", "group", "enabled"})
"""Keys of a config that have a trait of their own, or none."""


class Traits:
    """One manifest, as something that another one can be compared with."""

    def __init__(self, parsed: Parsed | None = None) -> None:
        """:param parsed: None for a project that is not there yet: it has no nodes."""
        self._parsed = parsed
        manifest = parsed.manifest if parsed else None
        self._all = {str(node.unique_id): node for node in contents.everything(manifest)}
        self._disabled = {str(key): nodes[0] for key, nodes in getattr(manifest, "disabled", {}).items() if nodes}
        self._macros = getattr(manifest, "macros", {})
        self.project = parsed.name if parsed else ""
        self.parents = {key: contents.parents(node) for key, node in self._all.items()}
        self.selectors: Mapping[str, Any] = dict(getattr(manifest, "selectors", None) or {})

    def __contains__(self, key: object) -> bool:
        return key in self._all

    def disabled(self, key: str) -> bool:
        """Whether the project has it, and says ``enabled: false``."""
        return key in self._disabled and key not in self._all

    def built(self, key: str) -> bool:
        """Whether ``dbt build`` executes it: not an ephemeral model."""
        return not getattr(self._all[key], "is_ephemeral_model", False)

    def name(self, key: str) -> str:
        """As people know it."""
        return str(self._node(key).search_name)

    def kind(self, key: str) -> str:
        """dbt's resource type."""
        return contents.resource_type(self._node(key))

    def files(self, key: str) -> tuple[str, ...]:
        """The files of the project that say something of it, its own first; none for what a package holds."""
        node = self._node(key)
        if str(node.package_name) != self.project:
            return ()
        own = str(node.original_file_path)
        return tuple(dict.fromkeys([own, *contents.property_files(node)]))

    def tested(self, key: str) -> str | None:
        """Of a test: what it belongs to."""
        node = self._node(key)
        if contents.resource_type(node) not in TEST_TYPES:
            return None
        return contents.tested(node, self._parsed.position if self._parsed else {})

    def twin(self, key: str) -> object:
        """Equal for two nodes that are one under two names: the same kind, the same code."""
        node = self._node(key)
        code = str(getattr(node, "raw_code", "") or "").strip()
        return (contents.resource_type(node), str(node.package_name), code) if code else None

    def of(self, key: str) -> dict[str, Any]:
        """Its traits by name: ``tags``, ``group``, ``path``, ``meta.dag``, ``config.materialized``, ``reads``, ..."""
        node = self._node(key)
        config = getattr(node, "config", None)
        said = config.to_dict() if config is not None else {}
        found: dict[str, Any] = {"tags": sorted(set(getattr(node, "tags", None) or said.get("tags") or ()))}
        found |= {f"meta.{name}": _plain(value) for name, value in contents.meta(node).items()}
        found["group"] = getattr(node, "group", None)
        found["path"] = str(node.original_file_path)
        found["fqn"] = ".".join(map(str, getattr(node, "fqn", ())))
        found["access"] = str(getattr(getattr(node, "access", None), "value", "") or "")
        found |= {f"config.{name}": _plain(value) for name, value in said.items() if name not in _OWN_PLACE}
        found["reads"] = sorted(contents.parents(node))
        found["description"] = str(getattr(node, "description", "") or "")
        found["columns"] = _plain({name: column.to_dict() for name, column in (getattr(node, "columns", None) or {}).items()})
        return found

    def body(self, key: str) -> str:
        """Its code without what ``config()`` says in it."""
        return _CONFIG.sub("", str(getattr(self._node(key), "raw_code", "") or "")).strip()

    def in_sql(self, key: str, trait: str) -> bool:
        """Whether the SQL's own ``config()`` says something of a trait."""
        said = getattr(self._node(key), "config_call_dict", None) or {}
        return trait.partition(".")[2 if trait.startswith("config.") else 0] in said

    def macros(self, key: str) -> dict[str, str]:
        """The macros that it calls, through and through, as far as dbt saw: by id, with their text."""
        found: dict[str, str] = {}
        waiting = contents.macros(self._node(key))
        while waiting:
            name = waiting.pop()
            macro = self._macros.get(name)
            if macro is not None and name not in found:
                found[name] = str(macro.macro_sql)
                waiting += contents.macros(macro)
        return found

    def macro_file(self, name: str) -> str | None:
        """The file of a macro of the project's own, relative to the project."""
        macro = self._macros.get(name)
        return str(macro.original_file_path) if macro is not None and str(macro.package_name) == self.project else None

    def _node(self, key: str) -> Any:
        return self._all.get(key) or self._disabled[key]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, sort_keys=True, default=str))
