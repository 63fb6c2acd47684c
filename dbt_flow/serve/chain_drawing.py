"""The chain as a graph: schedules and events on the left, what follows to the right. Places only; the template draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dbt_flow.serve.listeners import Subscriber

WIDTH, HEIGHT, ACROSS, DOWN = 178, 44, 226, 64


@dataclass(frozen=True)
class Box:
    """A node of the graph."""

    name: str
    label: str
    kind: str
    """dag, flow, event or schedule."""
    x: int
    y: int
    state: str = ""
    words: str = ""


@dataclass(frozen=True)
class Drawing:
    """All boxes, and the lines between them as SVG paths."""

    boxes: tuple[Box, ...]
    lines: tuple[str, ...]
    width: int
    height: int


def draw(subscribers: Sequence[Subscriber], states: Mapping[str, tuple[str, str]]) -> Drawing:
    """Place everything that starts, or is started by, something.

    :param states: for each subscriber a state for its colour, and words.
    """
    ends = {subscriber.finished: subscriber.name for subscriber in subscribers}
    sources: dict[str, tuple[str, str, str]] = {}
    parents: dict[str, list[str]] = {}
    for subscriber in subscribers:
        above = parents.setdefault(subscriber.name, [])
        for wait in subscriber.waits:
            if wait.event in ends:
                above.append(ends[wait.event])
            else:
                sources[f"event {wait.event}"] = (wait.label, "event", "")
                above.append(f"event {wait.event}")
        if subscriber.schedule:
            key = f"schedule {subscriber.name}"
            sources[key] = (subscriber.text if not subscriber.waits else subscriber.schedule[0], "schedule", "")
            above.append(key)
    linked = {name for name, above in parents.items() if above} | {parent for above in parents.values() for parent in above}
    column = _columns({**dict.fromkeys(sources, ()), **{name: parents[name] for name in parents if name in linked}})
    rows = _rows(column, parents)
    kinds = {subscriber.name: subscriber.kind for subscriber in subscribers}
    boxes = []
    for name, x in column.items():
        label, kind, _ = sources.get(name, (name, kinds.get(name, "dag"), ""))
        state, words = states.get(name, ("", ""))
        boxes.append(Box(name, label, kind, x * ACROSS + 2, rows[name] * DOWN + 2, state, words))
    at = {box.name: box for box in boxes}
    lines = [_line(at[parent], at[name]) for name in column for parent in parents.get(name, ()) if parent in at]
    width = (max(column.values(), default=0)) * ACROSS + WIDTH + 4
    height = (max(rows.values(), default=0)) * DOWN + HEIGHT + 20
    return Drawing(tuple(boxes), tuple(lines), width, height)


def _columns(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The longest path from a source; a circle, which the DAG files cannot have and flows could, is cut where it is found."""
    found: dict[str, int] = {}

    def depth(name: str, above: frozenset[str]) -> int:
        if name not in found:
            over = [depth(p, above | {name}) for p in parents.get(name, ()) if p in parents and p not in above and p != name]
            found[name] = 1 + max(over, default=-1)
        return found[name]

    for name in parents:
        depth(name, frozenset())
    return found


def _rows(column: Mapping[str, int], parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """In each column from the top, near the rows of what it follows."""
    rows: dict[str, int] = {}
    for x in sorted(set(column.values())):
        names = [name for name, at in column.items() if at == x]
        names.sort(key=lambda name: (_middle([rows[p] for p in parents.get(name, ()) if p in rows]), name))
        free = 0
        for name in names:
            wished = int(_middle([rows[p] for p in parents.get(name, ()) if p in rows]))
            rows[name] = max(free, wished)
            free = rows[name] + 1
    return rows


def _middle(numbers: Sequence[int]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _line(above: Box, below: Box) -> str:
    x1, y1, x2, y2 = above.x + WIDTH, above.y + HEIGHT // 2, below.x, below.y + HEIGHT // 2
    bend = (x2 - x1) // 2 if x2 > x1 else 40
    # A line over several columns goes below the boxes that it would hide behind.
    sag = DOWN * 3 // 5 if x2 - x1 > ACROSS and abs(y2 - y1) < DOWN else 0
    return f"M{x1},{y1} C{x1 + bend},{y1 + sag} {x2 - bend},{y2 + sag} {x2},{y2}"
