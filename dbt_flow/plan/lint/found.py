"""What a look over the fleet finds: a :class:`Finding` for people and machines, and how a rule says what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbt_flow.errors import Place
from dbt_flow.records import Record

if TYPE_CHECKING:
    from dbt_flow.plan.lint.landscape import Landscape


@dataclass(frozen=True)
class Finding(Record):
    """One finding, as ``--json`` prints it."""

    code: str
    severity: str
    """``error``: data is wrong, missing or made twice. ``warning``: it will be, or nobody would know."""
    file: str | None
    """Relative to the root where it lies inside."""
    line: int | None
    message: str
    why: str
    """Why the rule is there."""
    fix: str
    """What to type."""


@dataclass(frozen=True)
class Spot:
    """A member of a dbt project's graph, or one of its files."""

    folder: str
    """Of the dbt project, as settings show it."""
    id: str
    path: str = ""
    """The file, relative to the folder; of the member when it is empty."""


@dataclass(frozen=True)
class Found:
    """What a rule found, before silences and before its place in a dbt file is looked up."""

    message: str
    fix: str
    place: Place | Spot
    dags: tuple[str, ...] = ()
    """Whose files may silence it."""
    nodes: tuple[Spot, ...] = ()
    """Whose meta may silence it: all of them must."""
    others: tuple[str, ...] = ()
    """The DAGs that are to be waited for, or the code of a silence that can go: what a mend is about."""


@dataclass(frozen=True)
class Rule:
    """A rule of the table."""

    code: str
    severity: str
    why: str
    example: str
    """What it says, for instance."""
    judge: Callable[[Landscape], Iterator[Found]]
    past: bool = False
    """Whether it looks at runs that are remembered: where there are none it can say nothing, and a silence cannot be stale."""
    whole: bool = False
    """Whether it speaks of what no DAG does: it waits until every DAG file can be read."""


def some(names: list[str], most: int = 5) -> str:
    """A few names, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
