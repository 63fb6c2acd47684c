"""What a failing node stands on, up to the sources, with what is odd about each: the first suspect on top."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dbt_flow.plan.planned import Plan
from dbt_flow.records import Node, NodeResult
from dbt_flow.report.extra import CardExtra
from dbt_flow.report.words import count, duration, one_line

MOST = 8


@dataclass(frozen=True)
class Evidence:
    """What speaks against a node, and how loud."""

    weight: int
    text: str


class Upstream:
    """Looks above the failing nodes of one run."""

    def __init__(self, plan: Plan, results: Mapping[str, NodeResult], extra: CardExtra) -> None:
        self.plan, self.results, self.extra = plan, results, extra

    def suspects(self, start: Node) -> tuple[list[dict[str, Any]], int]:
        """The nodes above ``start`` that matter, the most suspicious first, and how many there are beyond those shown."""
        distance = self.distances(start)
        found = []
        for key, far in distance.items():
            node = self.plan.by_id[key]
            evidence = sorted(self.evidence(node), key=lambda e: -e.weight)
            weight = sum(e.weight for e in evidence)
            # An own model that is as it ever was is no news; where the data comes in is always worth a look.
            if node.type in ("source", "seed") or weight >= 20 or (not node.is_test and not self._planned(key)):
                found.append((-weight, far, node, evidence))
        found.sort(key=lambda item: (item[0], item[1], item[2].name))
        return [self._shown(node, evidence) for _, _, node, evidence in found[:MOST]], max(len(found) - MOST, 0)

    def distances(self, start: Node) -> dict[str, int]:
        """Every node above ``start``, with how many steps away it is."""
        distance: dict[str, int] = {}
        ring, far = [start.id], 0
        while ring:
            far += 1
            above = dict.fromkeys(parent for key in ring for parent in self.plan.by_id[key].parents)
            ring = [key for key in above if key in self.plan.by_id and key not in distance and key != start.id]
            distance.update(dict.fromkeys(ring, far))
        return distance

    def evidence(self, node: Node) -> Iterator[Evidence]:
        """What is odd about a node."""
        said = self.extra.freshness.get(node.id) or {}
        ago = said.get("max_loaded_at_time_ago_in_s")
        if said.get("status") in ("error", "warn", "runtime error"):
            how = f"last loaded {_ago(float(ago))} ago" if isinstance(ago, (int, float)) else "its load could not be seen"
            yield Evidence(100 if said["status"] != "warn" else 60, f"not fresh: {how}")
        if self.code_changed(node.id):
            yield Evidence(80, "its code has changed since the last good run")
        yield from self._rows(node.id)

    def code_changed(self, key: str) -> bool:
        """Whether a node's code is other than in the last good run; what was not there is new, which is a change."""
        good, node = self.extra.last_good, self.plan.by_id.get(key)
        if good is None or not good.checksums or node is None or node.checksum is None or not self._known(key):
            return False
        return good.checksums.get(key) != node.checksum

    def rows_now(self, key: str) -> int | None:
        """Rows of a node or source in this run, where they were counted."""
        result = self.results.get(key)
        rows = result.rows if result is not None else None
        return self.extra.source_rows.get(key) if rows is None else rows

    def rows_changed(self, key: str) -> bool:
        """Whether it has more or fewer rows than in the last good run."""
        now, then = self.rows_now(key), self._rows_then(key)
        return now is not None and then is not None and now != then

    def _rows(self, key: str) -> Iterator[Evidence]:
        now, then = self.rows_now(key), self._rows_then(key)
        if now is None or then is None or now == then:
            return
        if now == 0:
            yield Evidence(90, f"empty; {count(then, 'row')} in the last good run")
            return
        change = (now - then) / max(then, 1)
        by = f"{abs(change):.0%}" if abs(change) >= 0.01 else "less than 1%"
        weight = 70 if change <= -0.5 else 40 if abs(change) >= 0.2 else 10
        yield Evidence(weight, f"{by} {'more' if change > 0 else 'fewer'} rows than in the last good run ({then:,})")

    def _rows_then(self, key: str) -> int | None:
        return self.extra.last_good.rows.get(key) if self.extra.last_good else None

    def _known(self, key: str) -> bool:
        """Whether this DAG builds it or inlines it: of what another builds the code then was not noted."""
        return self._planned(key) or any(node.id == key for node in self.plan.inlined)

    def _planned(self, key: str) -> bool:
        return key in self._planned_ids

    @property
    def _planned_ids(self) -> frozenset[str]:
        if not hasattr(self, "_ids"):
            self._ids = frozenset(node.id for node in self.plan.nodes)
        return self._ids

    def _shown(self, node: Node, evidence: Iterable[Evidence]) -> dict[str, Any]:
        said = self.extra.freshness.get(node.id) or {}
        return {
            "name": one_line(source_name(node), 160),
            "kind": "ephemeral" if node.inlined else node.type,
            "owner": one_line(node.owner or "", 120),
            "description": one_line(node.description, 200),
            "loaded": str(said.get("max_loaded_at") or ""),
            "rows": self.rows_now(node.id),
            "why": [one_line(one.text, 200) for one in evidence],
        }


def _ago(seconds: float) -> str:
    return count(int(seconds // 86_400), "day") if seconds >= 172_800 else duration(seconds)


def source_name(node: Node) -> str:
    """A source with the name of its group, as dbt's ``source()`` has it: ``registry.carriers``; any other by its name."""
    parts = node.id.split(".")
    return ".".join(parts[2:]) if node.type == "source" and len(parts) > 3 else node.name


def change(start: Node, upstream: Upstream, extra: CardExtra) -> dict[str, str]:
    """After which change ``start`` fails: ``kind`` (code, data, both, neither; empty when nobody knows) and ``text``."""
    good = extra.last_good
    if good is None:
        return {"kind": "", "text": ""}
    chain = [start.id, *([start.tests] if start.tests else []), *upstream.distances(start)]
    chain = [*dict.fromkeys(key for key in chain if key in upstream.plan.by_id)]
    code = [key for key in chain if upstream.code_changed(key)]
    data = [key for key in chain if upstream.rows_changed(key) and key not in (start.id, start.tests)]
    since = f"since the last good run ({one_line(good.run, 120)})"
    names = {key: source_name(upstream.plan.by_id[key]) for key in (*code, *data)}
    if code and data:
        return {"kind": "both", "text": f"Code and data have changed {since}: {_few(code, names)}; rows of {_few(data, names)}"}
    if code:
        return {"kind": "code", "text": f"Its code has changed {since}: {_few(code, names)}"}
    if data:
        return {"kind": "data", "text": f"Its data has changed {since}, its code has not: rows of {_few(data, names)}"}
    if not good.checksums:
        return {"kind": "", "text": ""}
    counted = any(upstream.rows_now(key) is not None and key in good.rows for key in chain)
    rows = "no row count above it has" if counted else "rows above it were not counted"
    return {"kind": "neither", "text": f"Its code has not changed {since}, and {rows}: the values themselves are other ones"}


def _few(keys: list[str], names: Mapping[str, str]) -> str:
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return ", ".join(names[key] for key in keys[:4]) + more
