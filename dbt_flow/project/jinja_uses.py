"""Where a template lets a value decide what dbt learns while it parses: a config, a ``ref()``, or whether there is one.

dbt renders each model twice: while parsing, to learn its config and what it depends on, and while running, to get its SQL.
What a ``var()`` says the second time reaches the SQL alone. The template is read as Jinja reads it, and the value is followed
through ``set``, loops and macros; nothing is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dbt_common.clients.jinja import get_environment
from jinja2 import TemplateSyntaxError, nodes

LEARNS = frozenset({"config", "ref", "source", "metric", "function"})
"""What a template calls to tell dbt something while it parses."""
LEARNING = re.compile(r"(?<![.\w])(?:" + "|".join(sorted(LEARNS)) + r")\s*\(")


@dataclass(frozen=True)
class Use:
    """A value where dbt reads it while parsing."""

    name: str
    line: int
    """In the template, from 1."""
    where: str
    """In words: ``config()``, ``a condition around ref()``."""


@dataclass(frozen=True)
class Macros:
    """What is known of macros, by name and by ``package.name``."""

    tainted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Macros that use one of the values, with which."""
    learning: frozenset[str] = frozenset()
    """Macros that call ``ref()``, ``config()`` or the like."""


def names_in(text: str, names: frozenset[str]) -> frozenset[str]:
    """Those of ``names`` that ``text`` seems to take with ``var('name')``; comments are not told apart."""
    return frozenset(name for name in names if re.search(rf"\bvar(?:\.has_var)?\s*\(\s*['\"]{re.escape(name)}['\"]", text))


def early_uses(code: str, names: frozenset[str], macros: Macros) -> list[Use]:
    """The uses of ``names`` in the template ``code`` that dbt reads while parsing, in the order of their lines.

    A template that is no Jinja has none: dbt refuses it itself.
    """
    try:
        tree = get_environment().parse(code)
    except TemplateSyntaxError:
        return []
    reader = _Reader(names, macros)
    reader.follow(tree)
    return sorted(set(reader.uses(tree)), key=lambda use: (use.line, use.name, use.where))


class _Reader:
    def __init__(self, names: frozenset[str], macros: Macros) -> None:
        self.names = names
        self.macros = macros
        self.held: dict[str, frozenset[str]] = {}
        """Template variables with the values that they may hold."""

    def follow(self, tree: nodes.Node) -> None:
        """Follow the values through assignments until nothing new is found."""
        before = None
        while before != self.held:
            before = dict(self.held)
            for node in tree.find_all((nodes.Assign, nodes.AssignBlock, nodes.For, nodes.ExprStmt)):
                self._assign(node)

    def _assign(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.ExprStmt):  # {% do list.append(value) %}
            call = node.node
            holder = call.node.node if isinstance(call, nodes.Call) and isinstance(call.node, nodes.Getattr) else None
            targets, values = [holder] if isinstance(holder, nodes.Name) else [], self.taints(node)
        else:
            source = node.iter if isinstance(node, nodes.For) else node.node if isinstance(node, nodes.Assign) else node
            targets, values = [node.target], self.taints(source)  # type: ignore[attr-defined]
        if values:
            for target in targets:
                for name in _names(target):
                    self.held[name] = self.held.get(name, frozenset()) | values

    def taints(self, node: nodes.Node) -> frozenset[str]:
        """The values that ``node`` may depend on."""
        found: set[str] = set()
        for part in _within(node):
            if isinstance(part, nodes.Name):
                found |= self.held.get(part.name, frozenset())
            elif isinstance(part, nodes.Call):
                called = _called(part)
                found |= self.macros.tainted.get(called, frozenset())
                first = part.args[0] if part.args else None
                if called in ("var", "var.has_var") and isinstance(first, nodes.Const) and first.value in self.names:
                    found.add(first.value)
        return frozenset(found)

    def learns(self, node: nodes.Node) -> str | None:
        """The call in ``node`` by which dbt learns something, if there is one."""
        for part in _within(node):
            if isinstance(part, nodes.Call):
                called = _called(part).removeprefix("builtins.")
                if called in LEARNS or called in self.macros.learning:
                    return called
        return None

    def uses(self, tree: nodes.Node) -> Iterator[Use]:
        """Every use that matters."""
        for node in _within(tree):
            for decides, decided, words in self._decisions(node):
                names = self.taints(decides)
                call = self.learns(decided) if names else None
                if call:
                    yield from (Use(name, decides.lineno, words.format(call)) for name in names)

    def _decisions(self, node: nodes.Node) -> Iterator[tuple[nodes.Node, nodes.Node, str]]:
        """Pairs of what decides and what is decided, with words for it."""
        if isinstance(node, nodes.Call):
            starred = [argument for argument in (node.dyn_args, node.dyn_kwargs) if argument is not None]
            for argument in (*node.args, *node.kwargs, *starred):
                yield argument, nodes.Call(node.node, [], [], None, None), "{}()"
        elif isinstance(node, nodes.If):
            for part in (*node.body, *node.elif_, *node.else_):
                yield node.test, part, "a condition around {}()"
        elif isinstance(node, nodes.For):
            for part in node.body:
                yield node.iter, part, "a loop around {}()"
        elif isinstance(node, nodes.CondExpr):
            for branch in (node.expr1, node.expr2):
                if branch is not None:
                    yield node.test, branch, "a condition around {}()"
        elif isinstance(node, (nodes.And, nodes.Or)):
            yield node.left, node.right, "a condition around {}()"


def _within(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _within(child)


def _names(target: nodes.Node) -> Iterator[str]:
    for part in _within(target):
        if isinstance(part, (nodes.Name, nodes.NSRef)):
            yield part.name


def _called(call: nodes.Call) -> str:
    """``name`` or ``package.name``; empty for anything else."""
    if isinstance(call.node, nodes.Name):
        return call.node.name
    if isinstance(call.node, nodes.Getattr) and isinstance(call.node.node, nodes.Name):
        return f"{call.node.node.name}.{call.node.attr}"
    return ""
