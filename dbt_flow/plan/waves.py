"""Waves: how a plan with isolated steps becomes steps of a Metaflow flow.

Metaflow's static graphs are splits and joins, one after another. So isolated steps run in waves: all of wave 0 side by side,
then, when the last has ended, all of wave 1. Between two waves the warm dbt builds what is not isolated: part 0 before wave 0,
part ``n`` after the last of ``n`` waves. A part costs an import of dbt, and often a task of its own, so there are as few of
them as the plan allows.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

from dbt_flow.plan.planned import Step
from dbt_flow.records import Record

START, END = "start", "end"
ISOLATED, WARM, PASS = "isolated", "warm", "pass"

TAKEN = frozenset(
    {"name", "next", "input", "index", "cmd", "run", "foreach_stack", "script_name", "merge_artifacts"}
    | {"dag", "result", "card_document", "build", START, END}
)
"""Names that no step may have: Metaflow's reserved words, what a flow object has already, and what our flow keeps in it."""


@dataclass(frozen=True)
class Waves:
    """Names of the plan's steps, in the order in which they run."""

    isolated: tuple[tuple[str, ...], ...]
    """Wave by wave."""
    warm: tuple[tuple[str, ...], ...]
    """Part by part: one more than there are waves."""


@dataclass(frozen=True)
class FlowStep(Record):
    """One step of the Metaflow flow."""

    name: str
    """A Python identifier, readable and unique in the flow."""
    kind: str
    """``isolated``, ``warm`` or, for one that only splits or joins, ``pass``."""
    part: int
    """The wave of an isolated step, the part of a warm one."""
    next: tuple[str, ...] = ()
    joins: bool = False
    step: str = ""
    """Of an isolated one: the name of the plan's step that it builds."""


def make_waves(steps: Iterable[Step], isolated: Set[str], paid: Iterable[int] = ()) -> Waves:
    """The waves of a plan.

    An isolated step runs in the first wave in which it can. A warm step that some isolated one waits for is built in time for
    it, any other wherever dbt is started anyway after what it needs, at the latest in the last part.

    :param steps: the plan's, in topological order.
    :param isolated: the names of those that are to be isolated.
    :param paid: parts in which dbt is started in any case: part 0 has hooks to run.
    """
    order = list(steps)
    wave: dict[str, int] = {}
    for step in order:
        wave[step.name] = max((wave[need] + (need in isolated) for need in step.needs), default=0)
    count = 1 + max((wave[name] for name in isolated if name in wave), default=-1)
    due = {step.name: count for step in order}
    for step in reversed(order):
        mine = wave[step.name] if step.name in isolated else due[step.name]
        for need in step.needs:
            due[need] = min(due[need], mine)
    parts = _fewest_parts([(wave[step.name], due[step.name]) for step in order if step.name not in isolated], {count, *paid})
    warm: list[list[str]] = [[] for _ in range(count + 1)]
    waves: list[list[str]] = [[] for _ in range(count)]
    for step in order:
        if step.name in isolated:
            waves[wave[step.name]].append(step.name)
        else:  # the first part that comes after all it needs: what it needs is in an earlier one or in this
            warm[next(part for part in parts if part >= wave[step.name])].append(step.name)
    return Waves(tuple(map(tuple, waves)), tuple(map(tuple, warm)))


def _fewest_parts(spans: list[tuple[int, int]], paid: set[int]) -> list[int]:
    """The fewest parts such that each span (first, last) holds one, ``paid`` ones included: the earliest end decides."""
    chosen = set(paid)
    for first, last in sorted(spans, key=lambda span: span[1]):
        if not any(first <= part <= last for part in chosen):
            chosen.add(last)
    return sorted(chosen)


def flow_steps(waves: Waves, taken: Iterable[str] = ()) -> tuple[FlowStep, ...]:
    """The flow's steps, ``start`` first and ``end`` last: the fewest that Metaflow's rules leave.

    A join may not split and the last step may not join, so a wave of several steps costs a join, and a second step where
    another such wave follows. A wave of one step needs neither.

    :param taken: further names that no step may have, as those of the run's parameters.
    """
    count = len(waves.isolated)
    free = _Names({*TAKEN, *taken})
    names = [[free.take(step) for step in wave] for wave in waves.isolated]
    entry = [_entry(waves, free, part) for part in range(count + 1)]
    found: list[FlowStep] = []
    for part in range(count + 1):
        after = tuple(names[part]) if part < count else ()
        for index, (name, kind) in enumerate(entry[part]):
            last = index == len(entry[part]) - 1
            following = after if last else (entry[part][index + 1][0],)
            joins = index == 0 and part > 0 and len(names[part - 1]) > 1
            found.append(FlowStep(name, kind, part, following, joins))
        if part < count:
            leads = (entry[part + 1][0][0],) if entry[part + 1] else tuple(names[part + 1])
            for name, step in zip(names[part], waves.isolated[part], strict=True):
                found.append(FlowStep(name, ISOLATED, part, leads, step=step))
    return tuple(found)


def _entry(waves: Waves, names: _Names, part: int) -> list[tuple[str, str]]:
    """The steps, with their kinds, between the wave before ``part`` and the one after it."""
    if part == 0:
        return [(START, WARM)]
    count = len(waves.isolated)
    joins = len(waves.isolated[part - 1]) > 1
    work = WARM if waves.warm[part] else PASS
    if part == count:
        return [(names.take(f"join_{part}"), PASS), (END, WARM)] if joins else [(END, WARM)]
    splits = len(waves.isolated[part]) > 1
    if joins and splits:
        return [(names.take(f"join_{part}"), work), (names.take(f"split_{part}"), PASS)]
    if joins:
        return [(names.take(f"join_{part}"), work)]
    return [(names.take(f"warm_{part}"), WARM)] if work == WARM else []


class _Names:
    """Gives names for steps: Metaflow wants lower case letters, digits and underscores, a letter first."""

    def __init__(self, taken: Set[str]) -> None:
        self._taken = set(taken)

    def take(self, wish: str) -> str:
        """``wish`` as near as can be, and not given before."""
        plain = re.sub(r"[^a-z0-9]+", "_", wish.lower()).strip("_") or "step"
        if plain[0].isdigit():
            plain = f"model_{plain}"
        if plain in self._taken or keyword.iskeyword(plain) or keyword.issoftkeyword(plain):
            plain = f"{plain}_model"
        name, number = plain, 2
        while name in self._taken:
            name, number = f"{plain}_{number}", number + 1
        self._taken.add(name)
        return name
