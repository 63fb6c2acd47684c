"""Root causes: each thing that went wrong once, with the nodes that were skipped because of it folded in."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dbt_flow.plan.planned import Plan
from dbt_flow.records import CANCELLED, LOST, RUNNING, SKIPPED, Node, NodeResult, RunResult
from dbt_flow.report.words import count, name_of, one_line, plain_message

FAILED_KIND, LOST_KIND, CANCELLED_KIND, SKIPPED_KIND = "failed", "lost", "cancelled", "skipped"
_RANK = {LOST_KIND: 0, FAILED_KIND: 1, CANCELLED_KIND: 2, SKIPPED_KIND: 3}
_KNOWN = frozenset({"error", "fail", "runtime error", "partial success", "warn"})


@dataclass(frozen=True)
class Cause:
    """One thing that went wrong."""

    kind: str
    """``failed``; ``lost`` and ``cancelled``: all that a dead or stopped run left open; ``skipped``: nobody said why."""
    headline: str
    """What happened, in plain words and one sentence without its full stop."""
    results: tuple[NodeResult, ...]
    """The nodes that it happened to; the first speaks for all. What was being built comes first."""
    node: Node | None
    """What the plan knows of the first one."""
    owner: str
    """Whose it is: the test's owner, else the tested model's, else the DAG's."""
    blocks: tuple[str, ...] = ()
    """Ids of the nodes that were skipped because of it, in the plan's order."""

    @property
    def result(self) -> NodeResult:
        """The result that speaks for the cause."""
        return self.results[0]

    @property
    def name(self) -> str:
        """The name of the node that speaks for the cause."""
        return self.node.name if self.node else name_of(self.result.id)


def complete_results(plan: Plan | None, result: RunResult) -> tuple[NodeResult, ...]:
    """The result of every planned node; one that an ended run does not mention is lost: nothing is green by mistake."""
    if plan is None or result.status == RUNNING:
        return result.nodes
    known = {node.id for node in result.nodes}
    silent = (NodeResult(id=node.id, status=LOST) for node in plan.nodes if node.id not in known)
    return (*result.nodes, *silent)


def root_causes(plan: Plan | None, result: RunResult) -> tuple[Cause, ...]:
    """What went wrong in ``result``: what died first, then failures by how much they block."""
    results = complete_results(plan, result)
    by_id = {node.id: node for node in results}
    roots = {node.id for node in results if not node.good and node.status not in (SKIPPED, RUNNING)}
    blocks, orphans = _blocked(plan, results, by_id, roots)
    groups = [*_groups(plan, result, results), *([(SKIPPED_KIND, orphans)] if orphans else [])]
    order = {node.id: place for place, node in enumerate(results)}
    causes = []
    for kind, members in groups:
        lead = plan.by_id.get(members[0].id) if plan else None
        blocked = {node for member in members for node in blocks.get(member.id, ())}
        causes.append(
            Cause(
                kind=kind,
                headline=_headline(kind, members, lead, plan),
                results=tuple(members),
                node=lead,
                owner=owner_of(plan, lead, result.owner),
                blocks=tuple(sorted(blocked, key=order.__getitem__)),
            )
        )
    return tuple(sorted(causes, key=lambda cause: (_RANK[cause.kind], -len(cause.blocks), order[cause.result.id])))


def owner_of(plan: Plan | None, node: Node | None, otherwise: str) -> str:
    """Who owns ``node``: the owner in its own meta, else that of the model it tests, else its group's, else the DAG's.

    dbt puts a test into its model's group, so a test's group must not stand before its model's meta.
    """
    if node is None:
        return otherwise
    tested = plan.by_id.get(node.tests) if plan and node.tests else None
    if node.owner and (tested is None or node.owner_by != "group"):
        return node.owner
    return (tested.owner if tested else None) or node.owner or otherwise


def owner_rule(plan: Plan | None, node: Node | None, otherwise: str) -> str:
    """Why a node is its owner's, in words: the rule of :func:`owner_of` that held."""
    if node is None:
        return "owner of the DAG" if otherwise else ""
    how = {"meta": "in its dbt meta", "group": f"owner of its group {node.group}"}
    if node.owner:
        return f"{'the test' if node.is_test else 'the ' + node.type}'s own, {how.get(node.owner_by or '', 'as dbt says')}"
    tested = plan.by_id.get(node.tests) if plan and node.tests else None
    if tested and tested.owner:
        how["group"] = f"owner of its group {tested.group}"
        return f"owner of the {tested.type} that it tests, {how.get(tested.owner_by or '', 'as dbt says')}"
    return "owner of the DAG" if otherwise else ""


def _blocked(
    plan: Plan | None, results: Iterable[NodeResult], by_id: Mapping[str, NodeResult], roots: set[str]
) -> tuple[dict[str, list[str]], list[NodeResult]]:
    """For each root the skipped nodes it blocks, and the skipped nodes that have no root at all."""
    before: dict[str, list[str]] = defaultdict(list)
    for first, second in (*plan.edges, *plan.gates) if plan else ():
        before[second].append(first)
    blocks: dict[str, list[str]] = defaultdict(list)
    orphans = []
    for node in results:
        if node.status != SKIPPED:
            continue
        found = set(_climb(node.blocked_by, lambda at: by_id[at].blocked_by if at in by_id else (), roots))
        found = found or set(_climb(before[node.id], lambda at: before.get(at, ()), roots))
        for root in found:
            blocks[root].append(node.id)
        if not found:
            orphans.append(node)
    return blocks, orphans


def _climb(start: Iterable[str], above: Callable[[str], Iterable[str]], roots: set[str]) -> Iterator[str]:
    """The roots that are reached from ``start`` going up, stopping at each root."""
    todo, seen = [*start], set()
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        if at in roots:
            yield at
        else:
            todo.extend(above(at))


def _groups(plan: Plan | None, run: RunResult, results: Iterable[NodeResult]) -> list[tuple[str, list[NodeResult]]]:
    """Results that are one cause: all that was lost, all that was stopped, the same error of the same owner many times."""
    groups: dict[tuple[str, ...], list[NodeResult]] = defaultdict(list)
    for node in results:
        if node.good or node.status in (SKIPPED, RUNNING):
            continue
        if node.status in (LOST, CANCELLED):
            groups[(LOST_KIND if node.status == LOST else CANCELLED_KIND,)].append(node)
            continue
        known = plan.by_id.get(node.id) if plan else None
        if node.status == "error" and node.message and not (known and known.is_test):
            said = _same_words(node.message, known.name if known else name_of(node.id))
            groups[(FAILED_KIND, owner_of(plan, known, run.owner), said)].append(node)
        else:
            groups[(FAILED_KIND, "", node.id)].append(node)
    # What had begun speaks for a group that died or was stopped; it is what a person must look at.
    return [(key[0], sorted(members, key=lambda m: m.started is None)) for key, members in groups.items()]


def _same_words(message: str, name: str) -> str:
    """A message without what differs between two nodes that met the same trouble: the node's own name and digits."""
    return re.sub(r"\d+", "0", one_line(plain_message(message), 2000).replace(name, "*"))


def _headline(kind: str, members: list[NodeResult], node: Node | None, plan: Plan | None) -> str:
    first = members[0]
    name = node.name if node else name_of(first.id)
    if kind in (LOST_KIND, CANCELLED_KIND):
        return _open_headline(kind, members, plan)
    if kind == SKIPPED_KIND:
        return f"{count(len(members), 'node was', 'nodes were')} skipped: {one_line(first.reason or 'nobody said why', 160)}"
    if node and node.is_test:
        return _test_headline(first, node, plan)
    others = f" and {count(len(members) - 1, 'other node')}" if len(members) > 1 else ""
    said = next((line for line in plain_message(first.message).split("\n") if line.strip()), "")
    if first.status not in _KNOWN:
        return f"{name} ended as “{one_line(first.status, 40)}”, a word that dbt-flow does not know"
    verb = "was built in part" if first.status == "partial success" else "could not be built"
    if others:
        verb = verb.replace("was ", "were ")
    return f"{name}{others} {verb}" + (f": {one_line(said, 180).rstrip('.!')}" if said else "")


def _open_headline(kind: str, members: list[NodeResult], plan: Plan | None) -> str:
    begun = [(plan.by_id[m.id].name if plan and m.id in plan.by_id else name_of(m.id)) for m in members if m.started]
    waiting = len(members) - len(begun)
    shown = ", ".join(begun[:3]) + (f" and {len(begun) - 3} more" if len(begun) > 3 else "")
    ended = "the run died" if kind == LOST_KIND else "the run was stopped"
    if not begun:
        return f"{count(len(members), 'node')} had not begun when {ended}"
    rest = f"; {count(waiting, 'node')} had not begun" if waiting else ""
    return f"{shown} {'was' if len(begun) == 1 else 'were'} being built when {ended}{rest}"


def _test_headline(result: NodeResult, node: Node, plan: Plan | None) -> str:
    tested = plan.by_id.get(node.tests) if plan and node.tests else None
    model = tested.name if tested else "its model"
    rows, column = result.failures, node.column
    if result.status != "fail":
        said = next((line for line in plain_message(result.message).split("\n") if line.strip()), "")
        return f"test {node.name} could not run" + (f": {one_line(said, 160).rstrip('.!')}" if said else "")
    if node.type == "unit_test":
        return f"unit test {node.name}: {model} does not give the rows that it should"
    if rows is None:
        return f"test {node.name} of {model} failed"
    if column and node.name.startswith("not_null_"):
        return f"{count(rows, 'row')} of {model} {'has' if rows == 1 else 'have'} no {column}"
    if column and node.name.startswith("unique_"):
        return f"{column} of {model} is not unique: {count(rows, 'value is', 'values are')} there more than once"
    if column and node.name.startswith("accepted_values_"):
        return f"{column} of {model} has {count(rows, 'value')} that should not be there"
    if column and node.name.startswith("relationships_"):
        return f"{count(rows, 'row')} of {model} {'points' if rows == 1 else 'point'} nowhere with {column}"
    return f"test {node.name} of {model} failed on {count(rows, 'row')}"
