"""Changes of a YAML file that leave every other character as it is: comments, order, quotes, blank lines, line ends.

ruamel.yaml reads the file and says where each key and value begins and ends; only that span of the text is replaced. What comes
out is read again and must say exactly what was meant, in the same order: an edit that does not is not made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

Path = tuple[str, ...]


class NotEdited(Exception):
    """A file that is left to its author, with the reason."""


def replace_schedule(text: str, names: Sequence[str]) -> str:
    """``trigger: {schedule: ...}`` becomes ``trigger: {after: ...}``; comments among what goes stay, above it.

    :raises NotEdited: it cannot be done without touching something else
    """

    def edit(root: MappingNode) -> str:
        key, value = _pair(root, ("trigger", "schedule"))
        begin, end = key.start_mark.index, _end(value)
        comments = list(_comments(text, begin, end, value))
        indent = text[text.rfind("\n", 0, begin) + 1 : begin]
        if comments and indent.strip():
            raise NotEdited("comments stand inside its schedule")
        kept = "".join(f"{comment}{_newline(text)}{indent}" for comment in comments)
        return f"{text[:begin]}{kept}after: {_names(names)}{text[end:]}"

    def meant(data: Any) -> None:
        data["trigger"] = {"after": _plain(names)}

    return _edited(text, edit, meant)


def add_waits(text: str, names: Sequence[str]) -> str:
    """``names`` are added to ``trigger: {after: ...}``, in the form in which it is written.

    :raises NotEdited: as above
    """

    def edit(root: MappingNode) -> str:
        _, value = _pair(root, ("trigger", "after"))
        if isinstance(value, MappingNode):
            _, value = _pair(root, ("trigger", "after", "all"))
        begin, end = value.start_mark.index, _end(value)
        if isinstance(value, ScalarNode):
            return f"{text[:begin]}[{', '.join([text[begin:end], *names])}]{text[end:]}"
        if not isinstance(value, SequenceNode) or not value.value:
            raise NotEdited("its after: is written in an unusual way")
        last = _end(value.value[-1])
        if value.flow_style:
            return f"{text[:last]}, {', '.join(names)}{text[last:]}"
        line = text.rfind("\n", 0, value.value[-1].start_mark.index) + 1
        dash = re.match(r"\s*-\s*", text[line:])
        stop = text.find("\n", last)
        stop = len(text) if stop < 0 else stop - (text[stop - 1] == "\r")
        if dash is None:
            raise NotEdited("its after: is written in an unusual way")
        return text[:stop] + "".join(f"{_newline(text)}{dash[0]}{name}" for name in names) + text[stop:]

    def meant(data: Any) -> None:
        after = data["trigger"]["after"]
        holder, key = (after, "all") if isinstance(after, dict) else (data["trigger"], "after")
        known = holder[key]
        holder[key] = [*(known if isinstance(known, list) else [known]), *names]

    return _edited(text, edit, meant)


def remove_silence(text: str, code: str) -> str:
    """``lint: {ignore: {CODE: ...}}`` goes; with the last one ``lint`` itself.

    :raises NotEdited: as above; also when a comment would go with it
    """

    def edit(root: MappingNode) -> str:
        path: Path = ("lint", "ignore", code)
        while len(path) > 1 and len(_at(root, path[:-1]).value) == 1:
            path = path[:-1]
        parent = root if len(path) == 1 else _at(root, path[:-1])
        return _without(text, parent, path[-1])

    def meant(data: Any) -> None:
        del data["lint"]["ignore"][code]
        if not data["lint"]["ignore"]:
            del data["lint"]

    return _edited(text, edit, meant)


def _edited(text: str, edit: Callable[[MappingNode], str], meant: Callable[[Any], None]) -> str:
    """The text after an edit that does what was meant, and nothing else."""
    try:
        root = YAML(typ="rt", pure=True).compose(text)
        expected = deepcopy(_data(text))
        meant(expected)
        if not isinstance(root, MappingNode):
            raise NotEdited("the file holds no keys")
        changed = edit(root)
        same = _ordered(_data(changed)) == _ordered(expected)
    except (YAMLError, KeyError, TypeError, AttributeError, IndexError):
        raise NotEdited("it is written in an unusual way") from None
    if not same:
        raise NotEdited("it is written in an unusual way")
    return changed


def _data(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _ordered(data: Any) -> Any:
    """A value in which the order of keys counts."""
    if isinstance(data, dict):
        return [(key, _ordered(value)) for key, value in data.items()]
    return [_ordered(item) for item in data] if isinstance(data, list) else data


def _pair(root: MappingNode, path: Path) -> tuple[Node, Node]:
    """The nodes of a key and its value."""
    holder: Any = root
    found: tuple[Node, Node] | None = None
    for name in path:
        found = next(((key, value) for key, value in holder.value if key.value == name), None)
        if found is None:
            raise NotEdited(f"its {'.'.join(path)} is not where it should be")
        holder = found[1]
    assert found is not None  # noqa: S101 - no path is empty
    return found


def _at(root: MappingNode, path: Path) -> Any:
    return _pair(root, path)[1]


def _end(node: Node) -> int:
    """Where the text of a value ends. A block's own mark lies behind the comments that follow it."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _leaves(node: Node) -> Iterator[Node]:
    if isinstance(node, ScalarNode):
        yield node
        return
    for item in node.value:
        for part in item if isinstance(item, tuple) else (item,):
            yield from _leaves(part)


def _comments(text: str, begin: int, end: int, value: Node) -> Iterator[str]:
    """The comments from ``begin`` to ``end``: what begins with # outside of scalars."""
    hidden = list(text[begin:end])
    for leaf in _leaves(value):
        for index in range(leaf.start_mark.index - begin, leaf.end_mark.index - begin):
            hidden[index] = "x"
    for found in re.finditer(r"(?:^|(?<=\s))#[^\r\n]*", "".join(hidden)):
        yield text[begin + found.start() : begin + found.end()].rstrip()


def _without(text: str, parent: Any, name: str) -> str:
    """The text without one key of a mapping."""
    place = next(index for index, (key, _) in enumerate(parent.value) if key.value == name)
    key, value = parent.value[place]
    begin, end = key.start_mark.index, _end(value)
    if parent.flow_style:
        if place:
            begin = _end(parent.value[place - 1][1])
        elif len(parent.value) > 1:
            end = parent.value[1][0].start_mark.index
    else:
        begin = text.rfind("\n", 0, begin) + 1
        stop = text.find("\n", end)
        end = len(text) if stop < 0 else stop + 1
    if "#" in "".join(_comments(text, begin, end, value)):
        raise NotEdited(f"a comment stands beside {name}")
    return text[:begin] + text[end:]


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _plain(names: Sequence[str]) -> Any:
    return names[0] if len(names) == 1 else list(names)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
