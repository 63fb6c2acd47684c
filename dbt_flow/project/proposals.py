"""Selections that a dbt project itself suggests: its tags, folders, groups and selectors, with what dbt takes for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dbt_flow.project.parsing import Parsed
from dbt_flow.project.seams.contents import resource_type
from dbt_flow.project.selecting import select
from dbt_flow.records import BUILT, TEST_TYPES

MOST = 60
"""Proposals of one project: each is asked of dbt."""
_DEEP = 2  # folders below a model path that are proposed


@dataclass(frozen=True)
class Proposal:
    """One selection."""

    kind: str
    """``project``, ``tag``, ``folder``, ``group`` or ``selector``."""
    key: str
    """The DAG file's key for it: ``select`` or ``selector``."""
    value: str
    models: int
    """Models, seeds and snapshots that ``dbt build`` of it builds."""
    tests: int
    ids: frozenset[str]
    owner: str | None = None
    """Of a group: its owner."""

    @property
    def flag(self) -> str:
        """As ``dbt-flow new`` takes it."""
        return f"--{self.key} {self.value}"


def proposals(parsed: Parsed, told: Callable[[str], None] = lambda _: None) -> tuple[Proposal, ...]:
    """What the project suggests, the whole of it first, then each kind by how much it takes; what takes no model is left out.

    :param told: is given words for a progress display
    """
    found = []
    for kind, key, value, owner in _candidates(parsed):
        told(f"asking dbt what {value} selects")
        found.append(measured(parsed, kind, key, value, owner))
    order = ("project", "selector", "group", "tag", "folder")
    good = [proposal for proposal in found if proposal.models]
    return tuple(sorted(good, key=lambda each: (order.index(each.kind), -each.models, each.value)))


def measured(parsed: Parsed, kind: str, key: str, value: str, owner: str | None = None) -> Proposal:
    """One selection with what dbt takes for it.

    :raises ProjectError: dbt refuses it.
    """
    ids = select(parsed, selector=value) if key == "selector" else select(parsed, (value,))
    return Proposal(kind, key, value, *counts(parsed, ids), ids, owner)


def counts(parsed: Parsed, ids: frozenset[str]) -> tuple[int, int]:
    """How many models (with seeds and snapshots) and how many tests are among ``ids``."""
    kinds = Counter(node.partition(".")[0] for node in ids)
    ephemeral = sum(
        node in parsed.manifest.nodes and parsed.manifest.nodes[node].config.materialized == "ephemeral" for node in ids
    )
    return sum(kinds[kind] for kind in BUILT) - ephemeral, sum(kinds[kind] for kind in TEST_TYPES)


def _candidates(parsed: Parsed) -> Iterator[tuple[str, str, str, str | None]]:
    own = [node for node in parsed.manifest.nodes.values() if node.package_name == parsed.name and resource_type(node) in BUILT]
    yield "project", "select", "package:this", None
    for name in list(parsed.config.selectors or ())[:MOST]:
        yield "selector", "selector", str(name), None
    groups = Counter(str(node.config.group) for node in own if getattr(node.config, "group", None))
    owners = {group.name: _owner(group) for group in parsed.manifest.groups.values()}
    for name, _ in groups.most_common(MOST):
        yield "group", "select", f"group:{name}", owners.get(name)
    for name, _ in Counter(tag for node in own for tag in node.tags).most_common(MOST):
        yield "tag", "select", f"tag:{name}", None
    for folder, _ in _folders(own).most_common(MOST // 2):
        yield "folder", "select", f"path:{folder}", None


def _folders(nodes: list[Any]) -> Counter[str]:
    """The folders of models, from just below the model path; where there is one only, what is in it."""
    found: Counter[str] = Counter()
    for node in nodes:
        parts = PurePosixPath(str(node.original_file_path)).parent.parts
        for depth in range(2, min(len(parts), 1 + _DEEP) + 1):
            found["/".join(parts[:depth])] += 1
    return found


def _owner(group: Any) -> str | None:
    owner = getattr(group, "owner", None)
    return str(getattr(owner, "name", None) or getattr(owner, "email", None) or "") or None
