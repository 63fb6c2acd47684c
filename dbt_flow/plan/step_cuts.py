"""Steps: a model with the tests it owns, a seed, a snapshot; named so that a person and Metaflow can tell them apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from dbt_flow.plan.planned import Step
from dbt_flow.records import Node

Arrows = tuple[tuple[str, str], ...]


def make_steps(nodes: tuple[Node, ...], edges: Arrows, gates: Arrows) -> tuple[Step, ...]:
    """The steps in topological order; every node is in exactly one.

    A test belongs to the last of the steps that it waits for. So every step needs only earlier ones, and there is no circle.
    Tests that wait for nothing planned (of a source, of a model that is not selected) make a step with their like.
    """
    by_id = {node.id: node for node in nodes}
    waits: dict[str, list[str]] = defaultdict(list)
    for above, below in (*edges, *gates):
        waits[below].append(above)
    holder: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    needs: dict[str, set[str]] = defaultdict(set)
    rank: dict[str, int] = {}
    for node in nodes:  # topological, so the steps that a node waits for have a rank
        above_it = {holder[above] for above in waits[node.id]}
        mine = _holder(node, above_it, by_id, rank)
        holder[node.id] = mine
        rank.setdefault(mine, len(rank))
        members.setdefault(mine, []).append(node.id)
        needs[mine] |= above_it - {mine}
    names = _names(members, by_id)
    return tuple(
        Step(names[key], tuple(its), tuple(names[need] for need in sorted(needs[key], key=rank.__getitem__)))
        for key, its in members.items()
    )


def _holder(node: Node, above: Iterable[str], by_id: Mapping[str, Node], rank: Mapping[str, int]) -> str:
    """The id of the node whose step holds ``node``; for tests of nothing planned, the id of what they test."""
    if not node.is_test:
        return node.id
    if node.type == "unit_test" and node.tests in by_id:
        return node.tests or node.id
    return max(above, key=rank.__getitem__, default=None) or node.tests or node.id


def _names(members: Mapping[str, list[str]], by_id: Mapping[str, Node]) -> dict[str, str]:
    """A name for each step: the node's, with its package where two share one, and its type where that is not enough."""
    forms: dict[str, tuple[str, ...]] = {}
    for key in members:
        kind, _, rest = key.partition(".")
        package, _, name = rest.partition(".")
        if key in by_id and not by_id[key].is_test:
            forms[key] = (by_id[key].name, f"{package}.{by_id[key].name}", f"{kind}.{package}.{by_id[key].name}", key)
        else:  # tests by themselves
            forms[key] = (f"tests of {name}", f"tests of {rest}", f"tests of {key}")
    names: dict[str, str] = {}
    left = set(members)
    for level in range(4):
        tried = {key: forms[key][min(level, len(forms[key]) - 1)] for key in left}
        count = Counter(tried.values())
        good = {key for key, name in tried.items() if count[name] == 1 and name not in names.values()}
        names.update({key: tried[key] for key in good})
        left -= good
    names.update({key: key for key in left})
    return names
