"""``fix()``: write what :mod:`dbt_flow.plan.lint.mending` found safe to mend, or show what would be written."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dbt_flow.errors import InputError, Place
from dbt_flow.pipeline.linting import Linted
from dbt_flow.pipeline.yaml_edits import NotEdited, add_waits, remove_silence, replace_schedule
from dbt_flow.plan.lint.mending import Mend, mends
from dbt_flow.settings import Settings


@dataclass(frozen=True)
class Fixed:
    """What was mended, or would be."""

    made: tuple[Mend, ...] = ()
    left: tuple[str, ...] = ()
    """What a person must decide, each with the reason."""
    before: Mapping[str, str] = field(default_factory=dict)
    """The text of each file that changes."""
    after: Mapping[str, str] = field(default_factory=dict)

    def diff(self) -> Iterator[str]:
        """The lines of a unified diff."""
        for file, text in self.after.items():
            old, new = (side.splitlines() for side in (self.before[file], text))
            yield from difflib.unified_diff(old, new, f"a/{file}", f"b/{file}", lineterm="")


def fix(settings: Settings, linted: Linted, *, write: bool) -> Fixed:
    """Mend what can be mended safely; with ``write`` in the files.

    :raises InputError: a file that cannot be written; those before it are
    """
    wanted = mends(linted.land, linted.found)
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    made: list[Mend] = []
    left = list(wanted.left)
    for mend in wanted.made:
        text = after.get(mend.file)
        if text is None:
            text = before[mend.file] = (settings.root / mend.file).read_bytes().decode("utf-8")
        try:
            after[mend.file] = _edit(text, mend)
        except NotEdited as error:
            left.append(f"{mend.file} is left as it is: {error}; by hand: {mend.what}")
            continue
        made.append(mend)
    for file, text in after.items() if write else ():
        try:
            (settings.root / file).write_bytes(text.encode("utf-8"))
        except OSError as error:
            hint = "make it writable, and run dbt-flow lint --fix again"
            raise InputError("unreadable", f"cannot write: {error.strerror}", place=Place(file), hint=hint) from None
    return Fixed(tuple(made), tuple(left), {file: before[file] for file in after}, after)


def _edit(text: str, mend: Mend) -> str:
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    plain = text.removeprefix(mark)
    if mend.kind == "silence":
        return mark + remove_silence(plain, mend.names[0])
    return mark + (replace_schedule if mend.kind == "after" else add_waits)(plain, mend.names)
