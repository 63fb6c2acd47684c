"""What pydantic says, in our words: code, place, what is wrong, what was expected, what to type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from dbt_flow.errors import CODES
from dbt_flow.yamlfile import KeyPath, did_you_mean, kind_of, show

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}
_LIMITS = {"greater_than": ("gt", "more than"), "greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}


class Problem:
    """One thing that is wrong with a file's data, before it has a place."""

    def __init__(self, code: str, message: str, hint: str | None, path: KeyPath, *, at_key: bool = False) -> None:
        self.code, self.message, self.hint, self.path, self.at_key = code, message, hint, path, at_key
        self.key = ""
        """Of a missing key: its name."""


def problems(details: Iterable[ErrorDetails], data: Mapping[str, Any], model: type[BaseModel]) -> list[Problem]:
    """Each of pydantic's errors as a :class:`Problem` of ``data``."""
    found = [_problem(detail, data, model) for detail in details]
    # One slip, one message: a key that is misspelt is not missing too.
    meant = {(problem.path[:-1], problem.hint) for problem in found if problem.code == "unknown-key"}
    return [p for p in found if p.code != "missing-key" or (p.path, f"did you mean {p.key}?") not in meant]


def _problem(detail: ErrorDetails, data: Mapping[str, Any], model: type[BaseModel]) -> Problem:
    kind, loc = detail["type"], detail["loc"]
    path = _walk(loc, data)
    name = ".".join(str(part) for part in path if isinstance(part, str))
    context = detail.get("ctx", {})
    value = detail.get("input")
    if kind in CODES:
        prefix = f"{name}: " if name else ""
        inner = context["key"].split(".") if context["key"] else []
        return Problem(kind, prefix + context["message"], context["hint"], _walk((*loc, *inner), data))
    if kind == "extra_forbidden":
        return _unknown(str(loc[-1]), path, model, loc)
    if kind == "missing":
        key = str(loc[-1])
        inside = f" under {name}" if name else ""
        problem = Problem("missing-key", f"the key {key} is missing{inside}", f"write {key}: ...", path, at_key=True)
        problem.key = key
        return problem
    if kind in _KINDS or value is None:
        expected = _KINDS.get(kind, "a value")
        hint = f"write {name}: VALUE, or delete the key" if value is None else f"write {expected}"
        got = (
            "has no value"
            if value is None
            else f"is {kind_of(value)} ({show(value)})"
            if _plain(value)
            else f"is {kind_of(value)}"
        )
        return Problem("wrong-type", f"{name} {got}; {expected} was expected", hint, path)
    if kind == "literal_error":
        words = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
        near = did_you_mean(value, words) if isinstance(value, str) else None
        hint = f"did you mean {near}?" if near else f"write one of: {', '.join(words)}"
        return Problem("bad-value", f"{name} is {show(value)}; expected {', '.join(words[:-1])} or {words[-1]}", hint, path)
    if kind in _LIMITS:
        limit, words_ = _LIMITS[kind]
        return Problem("bad-value", f"{name} is {show(value)}; {words_} {context[limit]} was expected", "mend the number", path)
    return Problem("bad-value", f"{name}: {detail['msg']}", "see docs/dag-file.md", path)


def _plain(value: Any) -> bool:
    return not isinstance(value, (dict, list, tuple))


def _walk(loc: tuple[int | str, ...], data: Any) -> KeyPath:
    """The part of ``loc`` that the file has. Forms are made equal before they are checked, so ``loc`` may hold more steps."""
    path: KeyPath = ()
    for step in loc:
        if isinstance(data, list):
            data = dict(enumerate(data))
        if isinstance(data, dict) and step in data:
            path, data = (*path, step), data[step]
    return path


def _unknown(key: str, path: KeyPath, model: type[BaseModel], loc: tuple[int | str, ...]) -> Problem:
    known = _keys(model, loc[:-1])
    inside = ".".join(str(step) for step in path[:-1] if isinstance(step, str))
    near = did_you_mean(key, known)
    hint = f"did you mean {near}?" if near else f"the keys are: {', '.join(known)}" if known else "delete it"
    where = f" under {inside}" if inside else ""
    return Problem("unknown-key", f"unknown key {show(key)}{where}", hint, path, at_key=True)


def _keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand at ``loc``."""
    current: type[BaseModel] | None = model
    for step in loc:
        if current is None or step not in current.model_fields:
            continue
        current = _model_in(current.model_fields[str(step)].annotation)
    return list(current.model_fields) if current else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``X | None``, ``dict[str, X]``, ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found:
            return found
    return None
