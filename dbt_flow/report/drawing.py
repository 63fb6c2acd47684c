"""The run's graph as a drawing: which nodes to show, in which layer and at which height, and the lines between them.

Models, seeds and snapshots are boxes, their tests are pips inside; sources, unselected parents and exposures are end points.
Layers run left to right with the data. The layout is Sugiyama's, small: layers by longest path, invisible way-points for
lines that cross layers, order by barycentre, heights by relaxation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbt_flow.plan.planned import Plan
from dbt_flow.records import Node, NodeResult

MOST_NODES, MOST_NODES_FAILED = 400, 160
"""A graph with more nodes is drawn in part: nobody can read it whole; where something failed, even less of it matters."""
PART_NODES = 90
"""The most nodes of a partial drawing."""
RINGS = 3
"""How far a partial drawing goes up and down from what matters."""

BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 42, 44, 14, 16
NARROWEST, WIDEST, LETTER, FRAME = 150, 262, 7.2, 46
"""Boxes are as wide as the longest name needs, within limits; a letter is about so wide, and a mark and margins go beside."""
SWEEPS = 6

Lines = set[tuple[str, str]]


@dataclass
class _Sheet:
    """The drawing in the making: layers of names, where an invisible way-point is a name that no node bears."""

    layers: list[list[str]]
    up: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    down: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    height: dict[str, float] = field(default_factory=dict)
    waypoints: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def drawing(plan: Plan, results: Mapping[str, NodeResult], focus: Iterable[str], most: int) -> dict[str, Any] | None:
    """The drawing as numbers; of a large graph only the part around ``focus``.

    :param focus: ids of the nodes that matter most, the most important first.
    :param most: how many nodes are still drawn whole.
    """
    nodes = {node.id: node for node in (*plan.surroundings, *plan.inlined, *plan.nodes) if not node.is_test}
    lines = _lines(plan, nodes)
    if not any(node.id in nodes for node in plan.nodes):
        return None
    total = len(nodes)
    if total > most:
        kept = _around(lines, [node for node in focus if node in nodes] or [node.id for node in plan.nodes[:1]])
        nodes = {key: node for key, node in nodes.items() if key in kept}
        lines = {line for line in lines if line[0] in kept and line[1] in kept}
    sheet = _arrange(nodes, lines)
    return _numbers(plan, nodes, lines, sheet, results) | {"total": total, "part": total > most}


def _lines(plan: Plan, nodes: Mapping[str, Node]) -> Lines:
    """What to draw between nodes: dbt's own parents, and the plan's edges that no drawn detour already shows."""
    lines = {(parent, node.id) for node in nodes.values() for parent in node.parents if parent in nodes and parent != node.id}
    below: dict[str, set[str]] = defaultdict(set)
    for first, second in lines:
        below[first].add(second)
    planned = {node.id for node in plan.nodes}
    for first, second in plan.edges:
        if first not in nodes or second not in nodes or (first, second) in lines:
            continue
        detours = [node for node in below[first] if node not in planned]
        seen = set(detours)
        while detours:
            at = detours.pop()
            fresh = [node for node in below[at] if node not in seen]
            seen.update(fresh)
            detours.extend(node for node in fresh if node not in planned)
        if second not in seen:
            lines.add((first, second))
    return lines


def _around(lines: Lines, focus: list[str]) -> set[str]:
    """The focus, what it reads and what reads it, ring by ring, until there are :data:`PART_NODES`; never sideways."""
    up: dict[str, list[str]] = defaultdict(list)
    down: dict[str, list[str]] = defaultdict(list)
    for first, second in sorted(lines):
        down[first].append(second)
        up[second].append(first)
    kept = dict.fromkeys(focus[: PART_NODES // 2])
    rings = [(up, [*kept]), (down, [*kept])]
    for _ in range(RINGS):
        for place, (near, ring) in enumerate(rings):
            wider = [*dict.fromkeys(node for at in ring for node in near[at][:8] if node not in kept)]
            wider = wider[: max(PART_NODES - len(kept), 0)]
            kept.update(dict.fromkeys(wider))
            rings[place] = (near, wider)
    return set(kept)


def _arrange(nodes: Mapping[str, Node], lines: Lines) -> _Sheet:
    layer = _layers(nodes, lines)
    sheet = _Sheet(layers=[[] for _ in range(max(layer.values(), default=0) + 1)])
    for node in nodes:
        sheet.layers[layer[node]].append(node)
    for first, second in sorted(lines):
        if layer[second] <= layer[first]:
            continue  # a circle cannot be in a dbt project; in a damaged document it must not break the card
        stops = [f"{first}\n{second}\n{at}" for at in range(layer[first] + 1, layer[second])]
        for at, stop in enumerate(stops, start=layer[first] + 1):
            sheet.layers[at].append(stop)
        sheet.waypoints[first, second] = stops
        for above, below in zip([first, *stops], [*stops, second], strict=True):
            sheet.down[above].append(below)
            sheet.up[below].append(above)
    _order(sheet)
    _settle_heights(sheet)
    return sheet


def _layers(nodes: Mapping[str, Node], lines: Lines) -> dict[str, int]:
    """Longest path from the left; what has no parent stands just left of its first reader."""
    up, down = defaultdict(list), defaultdict(list)
    for first, second in lines:
        up[second].append(first)
        down[first].append(second)
    layer: dict[str, int] = {}
    waiting = {node: len(up[node]) for node in nodes}
    ready = [node for node in nodes if not waiting[node]]
    while ready:
        at = ready.pop()
        layer[at] = max((layer[parent] + 1 for parent in up[at]), default=0)
        for child in down[at]:
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    for node in nodes:
        layer.setdefault(node, 0)
    for node in nodes:
        if not up[node] and down[node]:
            layer[node] = max(min(layer[child] for child in down[node]) - 1, 0)
    return layer


def _order(sheet: _Sheet) -> None:
    """Order within each layer by the mean place of the neighbours, down and up by turns."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in sheet.layers if down else reversed(sheet.layers):
            near = sheet.up if down else sheet.down
            place = {name: at / max(len(group) - 1, 1) for group in sheet.layers for at, name in enumerate(group)}
            centre = {n: sum(place[m] for m in near[n]) / len(near[n]) if near[n] else place[n] for n in layer}
            layer.sort(key=lambda name, centre=centre: centre[name])  # type: ignore[misc]


def _settle_heights(sheet: _Sheet) -> None:
    """Heights (of middles): each near the mean of its neighbours, none on top of another."""
    for layer in sheet.layers:
        at = 0.0
        for name in layer:
            sheet.height[name] = at
            at += _room(name)
    for sweep in range(SWEEPS * 2):
        for layer in sheet.layers if sweep % 2 == 0 else reversed(sheet.layers):
            near = sheet.up if sweep % 2 == 0 else sheet.down
            wish = {n: sum(sheet.height[m] for m in near[n]) / len(near[n]) if near[n] else sheet.height[n] for n in layer}
            _place(layer, wish, sheet.height)
    lowest = min(sheet.height.values(), default=0.0)
    for name in sheet.height:
        sheet.height[name] += MARGIN + BOX_HEIGHT / 2 - lowest


def _place(layer: list[str], wish: Mapping[str, float], height: dict[str, float]) -> None:
    """Heights as close to the wishes as order and room allow: blocks that collide move together to their mean."""
    blocks: list[list[Any]] = []  # [sum of wished tops, number, room, names]
    for name in layer:
        blocks.append([wish[name], 1, _room(name), [name]])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] + blocks[-2][2] > blocks[-1][0] / blocks[-1][1]:
            late = blocks.pop()
            early = blocks[-1]
            early[0] += late[0] - late[1] * early[2]
            early[1] += late[1]
            early[2] += late[2]
            early[3] += late[3]
    for total, number, _, names in blocks:
        at = total / number
        for name in names:
            height[name] = at
            at += _room(name)


def _room(name: str) -> float:
    return GAP_Y if "\n" in name else BOX_HEIGHT + GAP_Y


def _numbers(
    plan: Plan, nodes: Mapping[str, Node], lines: Lines, sheet: _Sheet, results: Mapping[str, NodeResult]
) -> dict[str, Any]:
    number = {node: at for at, node in enumerate(nodes)}
    column = {name: at for at, layer in enumerate(sheet.layers) for name in layer}
    box = round(min(max(max(len(node.name) for node in nodes.values()) * LETTER + FRAME, NARROWEST), WIDEST))
    left = {name: MARGIN + at * (box + GAP_X) for name, at in column.items()}
    tests: dict[str, list[str]] = defaultdict(list)
    for node in plan.nodes:
        if node.is_test and node.tests:
            tests[node.tests].append(results[node.id].status if node.id in results else "waiting")
    planned = {node.id for node in plan.nodes}
    drawn = []
    for key, node in nodes.items():
        result = results.get(key)
        status = result.status if result else ("waiting" if key in planned else "")
        seconds = result.seconds if result else None
        kind = "ephemeral" if node.inlined else node.type
        place = [round(left[key]), round(sheet.height[key], 1)]
        begun = bool(result and result.started)
        drawn.append([node.name, kind, status, *place, seconds, tests[key], begun])
    edges = []
    for first, second in sorted(lines, key=lambda line: (number[line[0]], number[line[1]])):
        stops = [[left[s], round(sheet.height[s], 1)] for s in sheet.waypoints.get((first, second), ())]
        edges.append(
            [
                number[first],
                number[second],
                _curve([[left[first], sheet.height[first]], *stops, [left[second], sheet.height[second]]], box),
            ]
        )
    bottom = max((sheet.height[key] for key in nodes), default=0)
    width = MARGIN * 2 + len(sheet.layers) * (box + GAP_X) - GAP_X
    outside = any(kind not in ("source", "exposure") and not status for _, kind, status, *_ in drawn)
    size = {"width": width, "height": round(bottom + BOX_HEIGHT / 2 + MARGIN), "box": box}
    return {"nodes": drawn, "edges": edges, "outside": outside, "letters": int((box - FRAME) / LETTER), **size}


def _curve(stops: list[list[float]], box: int) -> str:
    """An SVG path from the right edge of the first stop to the left edge of the last, level while it passes a layer."""
    x, y = stops[0][0] + box, stops[0][1]
    path = f"M{x:.0f} {y:.1f}"
    for place, (stop_x, stop_y) in enumerate(stops[1:], start=2):
        middle = (x + stop_x) / 2
        path += f"C{middle:.0f} {y:.1f} {middle:.0f} {stop_y:.1f} {stop_x:.0f} {stop_y:.1f}"
        x, y = stop_x, stop_y
        if place < len(stops):
            x += box
            path += f"H{x:.0f}"
    return path
