"""What a card shows beside its run, found in what was remembered: history, what changed since the last good run, who waits.

Every part is for itself: what is damaged or missing costs the part that needs it, never the card. Loads without dbt.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dbt_flow.plan.planned import Plan
from dbt_flow.records import RUNNING, SUCCESS, RunResult, flow_name, utc_moment, utc_text
from dbt_flow.report.deadlines import Progress as Done
from dbt_flow.report.deadlines import at_risk, deadlines
from dbt_flow.report.extra import LastGood, Waiting
from dbt_flow.report.rules import Rules
from dbt_flow.report.words import duration, moment
from dbt_flow.settings import Settings, load_settings
from dbt_flow.spec import load_fleet
from dbt_flow.state.durations import usual_durations
from dbt_flow.state.history import row_counts
from dbt_flow.state.runs import RunRecord, RunRef, find_runs
from dbt_flow.state.store import Store

_MOST_DAGS = 60
"""Other DAGs whose last plans are looked at for what they read."""


def backdrop(
    store: Store, result: RunResult, plan: Plan | None, facts: Mapping[str, Any], before: tuple[Mapping[str, Any], ...]
) -> dict[str, Any]:
    """Fields of :class:`~dbt_flow.report.extra.CardExtra`.

    :param facts: the head of the attempt's log
    :param before: the runs before this one, oldest first
    """
    look = _Look(store, result, plan, facts)
    troubled = any(not node.good for node in result.nodes) or result.status not in (RUNNING, SUCCESS)
    good = _or(None, lambda: look.last_good(before))
    return {
        "deadline": _or(None, look.deadline),
        "links": _or({}, look.links),
        "usual": _or({}, lambda: usual_durations(store, result.target)),
        "rows": _or({}, lambda: row_counts(store, result.target, result.dag, result.run)),
        "source_rows": _or({}, look.source_rows),
        "freshness": _or({}, look.freshness),
        "last_good": good,
        "waiting": _or((), look.waiting) if troubled and result.status != RUNNING else (),
        "quarantined": _or({}, look.quarantined),
    }


def _or(otherwise: Any, find: Callable[[], Any]) -> Any:
    try:
        return find()
    except Exception:  # damage, a newer version, a file that is gone: the card goes on without it
        return otherwise


class _Look:
    def __init__(self, store: Store, result: RunResult, plan: Plan | None, facts: Mapping[str, Any]) -> None:
        self.store, self.result, self.plan = store, result, plan
        self.record = _record(store, result.target, result.dag, result.run)
        said = facts.get("telling")
        self.rules = Rules.from_dict(said) if isinstance(said, Mapping) else Rules()

    # ---- this run

    def source_rows(self) -> dict[str, int]:
        found = self.record.get("source_rows.json")
        return {str(key): int(rows) for key, rows in found.items()} if isinstance(found, Mapping) else {}

    def freshness(self) -> dict[str, Mapping[str, Any]]:
        """dbt's ``sources.json`` in the run's record, by source."""
        found = self.record.get("sources.json")
        rows = found.get("results") if isinstance(found, Mapping) else None
        return {str(row["unique_id"]): row for row in rows or () if isinstance(row, Mapping) and "unique_id" in row}

    def links(self) -> dict[str, str]:
        return {kind: link for kind in ("card", "metaflow") if (link := self.rules.link(kind, self.result))}

    def quarantined(self) -> dict[str, Mapping[str, str]]:
        nodes = ((node, self.plan.by_id.get(node.id) if self.plan else None) for node in self.result.nodes if not node.good)
        found = ((node.id, self.rules.quarantined(known, known.name if known else node.id)) for node, known in nodes)
        return {key: terms for key, terms in found if terms}

    def deadline(self) -> dict[str, Any] | None:
        began, now = moment(self.result.started), utc_moment(utc_text())
        found = deadlines(self.rules, began) if began else None
        if found is None:
            return None
        due, ended = found[1], moment(self.result.finished)
        zone = "" if self.rules.timezone == "UTC" else f" {self.rules.timezone}"
        said = {"words": f"{due:%H:%M}{zone or ' UTC'}", "state": "open", "said": ""}
        if ended and self.result.status == SUCCESS:
            early = (due - ended).total_seconds()
            said |= {"state": "held" if early >= 0 else "late"}
            return said | {"said": f"{duration(abs(early))} {'to spare' if early >= 0 else 'too late'}"}
        left = (due - (ended or now)).total_seconds()
        if left < 0:
            return said | {"state": "late", "said": f"missed {duration(-left)} ago" if not ended else "missed: it is not good"}
        risk = self._risk(due) if not ended else None
        if risk:
            return said | {"state": "risk", "said": risk}
        return said | {"said": f"{duration(left)} left" + (" when this run ended" if ended else "")}

    def _risk(self, due: Any) -> str:
        if self.plan is None:
            return ""
        ended = frozenset(node.id for node in self.result.nodes)
        usual = usual_durations(self.store, self.result.target)
        risk = at_risk(self.plan, usual, Done({}, ended), due, utc_moment(utc_text()))
        return risk.headline if risk else ""

    # ---- runs before

    def last_good(self, before: tuple[Mapping[str, Any], ...]) -> LastGood | None:
        run = next((line for line in reversed(before) if line.get("status") == SUCCESS), None)
        if run is None:
            return None
        key = (repr(self.store), str(run["run"]))
        if key not in _KNOWN:
            _KNOWN.clear()  # one run is compared with one
            _KNOWN[key] = self._read_good(run)
        return _KNOWN[key]

    def _read_good(self, run: Mapping[str, Any]) -> LastGood:
        record = _record(self.store, self.result.target, self.result.dag, str(run["run"]))
        plan: Any = _or({}, lambda: record.get("plan.json")) or {}
        nodes = [*plan.get("nodes", ()), *plan.get("inlined", ())]
        checksums = {node["id"]: node["checksum"] for node in nodes if node.get("checksum")}
        settled = _or(None, record.result)
        counted = _or({}, lambda: dict(record.get("source_rows.json") or {}))
        counted.update({node.id: node.rows for node in settled.nodes if node.rows is not None} if settled else {})
        return LastGood(str(run["run"]), str(run.get("started") or ""), checksums, counted)

    # ---- who waits

    def waiting(self) -> tuple[Waiting, ...]:
        """DAGs that read what this one builds, by the plans of their last runs, and DAGs and flows that start after it."""
        found = {one.name: one for one in self._readers()}
        with suppress(Exception):  # no DAG files here: a task that runs somewhere else
            settings = load_settings()
            for one in (*self._started_after(settings), *_flows_after(settings, flow_name(self.result.dag))):
                reads = found[one.name].reads if one.name in found else ()
                found[one.name] = Waiting(one.kind, one.name, one.owner, True, reads)
        return tuple(found.values())

    def _readers(self) -> Iterator[Waiting]:
        built = {node.id for node in self.plan.nodes} if self.plan else set()
        for dag in self.store.list(f"runs/{self.result.target}")[:_MOST_DAGS]:
            if dag == self.result.dag:
                continue
            with suppress(Exception):
                ref = next(find_runs(self.store, dag, self.result.target))
                record = RunRecord(self.store, ref)
                around = (record.get("plan.json") or {}).get("surroundings", ())
                reads = tuple(node["id"] for node in around if node["id"] in built)
                attempts = record.attempts() if reads else ()
                if reads:
                    yield Waiting("DAG", dag, str(attempts[0].header.get("owner") or "") if attempts else "", reads=reads)

    def _started_after(self, settings: Settings) -> Iterator[Waiting]:
        names = {self.result.dag, flow_name(self.result.dag)}
        for dag in load_fleet(settings).dags:
            after = dag.trigger.after
            if after is not None and names.intersection(after.names):
                yield Waiting("DAG", dag.name, dag.owner)


_KNOWN: dict[tuple[str, str], LastGood] = {}
"""The last good run, read once for all live cards of a run."""


def _flows_after(settings: Settings, flow: str) -> Iterator[Waiting]:
    """Training flows that a decorator starts after ``flow``; their files are read and not run."""
    for file in settings.flows:
        for path in sorted(file.rglob("*.py")) if file.is_dir() else [file]:
            with suppress(OSError, SyntaxError, ValueError):
                yield from _flows_in(path, flow)


def _flows_in(path: Path, flow: str) -> Iterator[Waiting]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            said = [word for decorator in node.decorator_list for word in ast.walk(decorator) if isinstance(word, ast.Constant)]
            called = " ".join(ast.dump(decorator) for decorator in node.decorator_list)
            waits = "trigger_on_finish" in called or "needs" in called
            if waits and any(str(word.value).rpartition(".")[2] in (flow, _dag_of(flow)) for word in said):
                yield Waiting("flow", node.name)


def _dag_of(flow: str) -> str:
    """``CarrierRisk`` is ``carrier_risk``."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in flow).lstrip("_")


def _record(store: Store, target: str, dag: str, run: str) -> RunRecord:
    return RunRecord(store, RunRef(target, dag, run.rpartition("/")[2]))
