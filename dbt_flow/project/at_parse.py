"""``parameters_at_parse()``: run parameters where dbt would read them too early.

A run parameter reaches dbt as a var when the run begins. The manifest is older than that: what it holds (configs,
dependencies, schemas, the properties of tests) was made with the values of then, and would keep them without a word. So such
a use is refused, with its line. A use in a SQL body, a hook, a test's argument or a description is read when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dbt_flow.errors import DbtFlowError, Place, ProjectError
from dbt_flow.project import whereabouts
from dbt_flow.project.jinja_uses import LEARNING, Macros, early_uses, names_in
from dbt_flow.project.macro_uses import NAMING
from dbt_flow.project.parsing import Parsed
from dbt_flow.project.seams import contents

HOOKS = frozenset({"pre-hook", "post-hook", "pre_hook", "post_hook"})
LATE = HOOKS | {"description", "loaded_at_query", "filter"}
"""Keys of property files whose text dbt renders when it needs it (``SchemaYamlRenderer``)."""
LATE_IN_PROJECT = frozenset({"on-run-start", "on-run-end", "query-comment", "vars"})
"""Keys of ``dbt_project.yml`` that dbt leaves as they are (``DbtProjectYamlRenderer.should_render_keypath``)."""
TEST_CONFIG = frozenset(
    {"config", "severity", "tags", "enabled", "where", "limit", "warn_if", "error_if", "fail_calc", "store_failures"}
    | {"store_failures_as", "meta", "database", "schema", "alias", "group"}
)
"""What dbt renders of a data test while parsing (``TestBuilder.CONFIG_ARGS``); its arguments wait."""


def parameters_at_parse(
    parsed: Parsed, names: Iterable[str], selected: Iterable[str] | None = None
) -> tuple[DbtFlowError, ...]:
    """One error, code ``parameter-at-parse``, for each place where dbt reads one of ``names`` while parsing.

    :param selected: the ids of a selection: what only other nodes use is left alone. None looks at everything.
    """
    wanted = frozenset(names)
    if not wanted:
        return ()
    look = _Look(parsed, wanted, None if selected is None else frozenset(selected))
    found = {(error.place, error.message): error for error in (*look.settings(), *look.properties(), *look.templates())}
    return tuple(
        sorted(found.values(), key=lambda error: (error.place.file, error.place.line or 0) if error.place else ("", 0))
    )


class _Look:
    """One look at a project, for one set of names."""

    def __init__(self, parsed: Parsed, names: frozenset[str], selected: frozenset[str] | None) -> None:
        self.parsed = parsed
        self.names = names
        self.folder = parsed.project.folder
        every = {node.unique_id: node for node in contents.everything(parsed.manifest)}
        self.nodes = [node for key, node in every.items() if selected is None or key in selected]
        self.all_macros: Mapping[str, Any] = parsed.manifest.macros
        self.macros = self._known_macros()

    def settings(self) -> Iterator[DbtFlowError]:
        """Uses in ``dbt_project.yml``, ``selectors.yml`` and the profile's output."""
        config = self.parsed.config
        profile = (str(config.profile_name), "outputs", str(config.target_name))
        for file, early in (
            (self.folder / "dbt_project.yml", lambda path: path[0] not in LATE_IN_PROJECT and not _hooked(path)),
            (self.folder / "selectors.yml", lambda path: True),  # noqa: ARG005
            (self.parsed.profiles_dir / "profiles.yml", lambda path: path[:3] == profile),
        ):
            for name, place in _scalars(file, self.names, early):
                yield _refused(name, place, file.name)

    def properties(self) -> Iterator[DbtFlowError]:
        """Uses in the property files of the nodes."""
        files = {path for node in self.nodes for path in contents.property_files(node)}
        for relative in sorted(files):
            for name, place in _scalars(self.folder / relative, self.names, _early_property):
                yield _refused(name, place, Path(relative).name)

    def templates(self) -> Iterator[DbtFlowError]:
        """Uses in models, snapshots and tests, and in the macros that they call."""
        called: set[str] = set()
        for node in self.nodes:
            code = getattr(node, "raw_code", "") or ""
            called.update(contents.macros(node))
            if code and str(node.original_file_path).endswith(".sql"):
                yield from self._template(code, node, f"{contents.resource_type(node)} {node.name}")
        for key in sorted(self._closure(called)):
            macro = self.all_macros.get(key)
            if macro is not None:
                yield from self._template(macro.macro_sql, macro, f"macro {macro.name}")
        for macro in self.all_macros.values():
            if macro.name in NAMING and macro.package_name == self.parsed.name:
                for name in self.macros.tainted.get(macro.name, ()):
                    yield _refused(name, self._place(macro, macro.macro_sql, 1), f"the macro {macro.name}")

    def _template(self, code: str, holder: Any, what: str) -> Iterator[DbtFlowError]:
        if not names_in(code, self.names) and not any(macro.rpartition(".")[2] in code for macro in self.macros.tainted):
            return
        for use in early_uses(code, self.names, self.macros):
            yield _refused(use.name, self._place(holder, code, use.line), f"{use.where} of {what}")

    def _place(self, holder: Any, code: str, line: int) -> Place:
        """Where line ``line`` of ``code`` stands in the file: dbt keeps templates without what surrounds them."""
        file = self.folder / holder.original_file_path
        if holder.package_name != self.parsed.name:
            file = contents.file_of(self.parsed.manifest, holder) or file
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        start = text.replace("\r\n", "\n").find(code.replace("\r\n", "\n").strip())
        skipped = len(code) - len(code.lstrip())
        before = text.count("\n", 0, start) - code.count("\n", 0, skipped) if start > 0 else 0
        return whereabouts.place(file, before + line)

    def _known_macros(self) -> Macros:
        tainted: dict[str, frozenset[str]] = {}
        using = {key: names_in(macro.macro_sql, self.names) for key, macro in self.all_macros.items()}
        learning = {key for key, macro in self.all_macros.items() if LEARNING.search(macro.macro_sql)}
        direct = [key for key, names in using.items() if names]
        above = self._callers() if direct or learning else {}
        for key in direct:
            for caller in _upwards(key, above):
                for name in self._names_of(caller):
                    tainted[name] = tainted.get(name, frozenset()) | using[key]
        tells = {name for key in learning for caller in _upwards(key, above) for name in self._names_of(caller)}
        return Macros(tainted, frozenset(tells))

    def _names_of(self, key: str) -> tuple[str, str]:
        macro = self.all_macros[key]
        return macro.name, f"{macro.package_name}.{macro.name}"

    def _callers(self) -> dict[str, list[str]]:
        above: dict[str, list[str]] = {}
        for key in self.all_macros:
            for called in contents.macros(self.all_macros[key]):
                above.setdefault(called, []).append(key)
        return above

    def _closure(self, keys: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(keys)
        while waiting:
            key = waiting.pop()
            if key not in found and key in self.all_macros:
                found.add(key)
                waiting += contents.macros(self.all_macros[key])
        return found


def _refused(name: str, place: Place, where: str) -> ProjectError:
    return ProjectError(
        "parameter-at-parse",
        f"the run parameter {name} is used in {where}, which dbt reads while it parses: it would keep its value from then",
        place=place,
        hint=f"use var('{name}') in the SQL alone, or fix its value for the DAG under vars:",
    )


def _upwards(key: str, above: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [key]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += above.get(here, ())
    return found


def _hooked(path: tuple[str, ...]) -> bool:
    return any(part.lstrip("+ ") in HOOKS for part in path)


def _early_property(path: tuple[str, ...]) -> bool:
    """Whether dbt renders the scalar at ``path`` of a property file while it parses."""
    if LATE.intersection(path) or (path[0] == "saved_queries" and "where" in path):
        return False
    for key in ("data_tests", "tests"):
        if key in path:
            return bool(TEST_CONFIG.intersection(path[path.index(key) + 1 :]))
    return True


def _scalars(file: Path, names: frozenset[str], early: Any) -> Iterator[tuple[str, Place]]:
    """Each use of a name in the scalars of a YAML file for whose path ``early`` is true."""
    try:
        text = file.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader) if names_in(text, names) else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    waiting: list[tuple[tuple[str, ...], yaml.Node]] = [((), root)] if root is not None else []
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            waiting += [((*path, str(key.value)), value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(path, value) for value in node.value]
        elif path and early(path):
            for name in names_in(str(node.value), names):
                lines = text.splitlines()[node.start_mark.line : node.end_mark.line + 1]
                inside = next((index for index, line in enumerate(lines) if names_in(line, frozenset({name}))), 0)
                yield name, whereabouts.place(file, node.start_mark.line + 1 + inside)
