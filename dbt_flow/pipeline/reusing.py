"""``reuse: unchanged`` in a run: what is looked at before it, and what is kept. The rules are in :mod:`dbt_flow.plan.reuse`.

Whatever goes wrong here costs time, never a result: then everything runs, and the run says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.prepare import Phase, Prepared
from dbt_flow.plan.planned import Decision
from dbt_flow.plan.reuse import Known, Made, Reads, decide_reuse, evidence, own_token, reads_of
from dbt_flow.plan.reuse_sql import plain_name, unknown_read, volatile_in
from dbt_flow.project.keys import odd_flags, subjects
from dbt_flow.project.stamps import look
from dbt_flow.records import REUSED, TEST_TYPES, NodeResult, Stamp, Subject, utc_text
from dbt_flow.state.made import keep_evidence, kept_evidence

_NO_ROWS = frozenset({"test", "unit_test", "ephemeral", "function"})


@dataclass(frozen=True)
class Judged:
    """The decisions of a run with ``reuse``, and what they stand on."""

    prepared: Prepared
    decisions: tuple[Decision, ...]
    known: Known | None = None
    """None when nothing could be looked at, or the run is none of which anything is kept."""
    note: str = ""
    """Why nothing is reused, where one reason holds for all."""

    @property
    def reused(self) -> frozenset[str]:
        """The ids of what is not made again."""
        return frozenset(decision.id for decision in self.decisions if decision.decision == "reuse")

    def results(self) -> dict[str, NodeResult]:
        """A result for each of them."""
        if self.known is None:
            return {}
        return {
            decision.id: NodeResult(decision.id, REUSED, reason=decision.reason, rows=self.known.made[decision.id].rows)
            for decision in self.decisions
            if decision.decision == "reuse"
        }


def judge_reuse(prepared: Prepared, decisions: tuple[Decision, ...], values: Mapping[str, Any], phase: Phase) -> Judged:
    """Look at the project, the target and the evidence. The caller holds the database's lock.

    :param values: the vars that the run gives to dbt, its parameters included.
    """
    job = prepared.job
    if job.dag.reuse != "unchanged":
        return Judged(prepared, decisions)
    try:
        odd = odd_flags(prepared.parsed, job.options.build_flags)
        if odd or job.options.defer_to:
            return _all_run(
                prepared, decisions, f"dbt's flag {odd[0]} is set" if odd else "tables are read from another target"
            )
        phase("looking for what is unchanged")
        known = known_of(prepared, values)
    except (DbtFlowError, OSError) as error:
        return _all_run(prepared, decisions, f"what has changed cannot be seen: {error}")
    if job.options.no_reuse:
        return replace(_all_run(prepared, decisions, "--no-reuse"), known=known)
    return Judged(prepared, decide_reuse(prepared.plan, decisions, known), known)


def _all_run(prepared: Prepared, decisions: tuple[Decision, ...], why: str) -> Judged:
    said = tuple(replace(each, reason=f"nothing is reused: {why}") if each.decision == "run" else each for each in decisions)
    return Judged(prepared, said, note=why)


def known_of(prepared: Prepared, values: Mapping[str, Any], ids: Iterable[str] | None = None) -> Known:
    """Look at all that is planned, or at ``ids`` of it alone, and at what that reads. The caller holds the database's lock.

    :raises DbtFlowError: the warehouse cannot be reached.
    """
    planned = [node.id for node in prepared.plan.nodes]
    found = subjects(prepared.parsed, planned if ids is None else ids, values)
    lines = kept_evidence(prepared.job.store, prepared.plan.target, found)
    made = {node: Made.from_dict(line) for node, line in lines.items()}
    inside = frozenset(planned)

    def rows(key: str, stamp: Stamp) -> bool:
        """Of a view only where it is not seen through: its tables tell, and cost less."""
        if stamp.kind != "view" or found[key].kind not in ("view", "ephemeral"):
            return True
        return key not in inside and not Known(found, {key: stamp}, made).current_view(key)

    return Known(found, _look(prepared, found, (key for key in found if found[key].kind not in _NO_ROWS), rows), made)


def _look(prepared: Prepared, found: Mapping[str, Subject], ids: Iterable[str], rows: Any) -> dict[str, Stamp]:
    with look(prepared.parsed) as looking:
        return looking.stamps([key for key in ids if found[key].relation], rows)


def keep_made(
    judged: Judged,
    ran: frozenset[str],
    results: Mapping[str, NodeResult],
    run: str,
    *,
    manifest: Any = None,
    part: str | None = None,
) -> None:
    """After the build: keep evidence of what is good now, and drop what was kept of the rest. Holds the database's lock.

    :param ran: the ids that this run was to make, or this step of it.
    :param manifest: what was built from, where it is another object than the project's: it has the SQL that was sent.
    :param part: the step, of a run of several. Each keeps a document of its own: two may end at once.
    """
    known, prepared = judged.known, judged.prepared
    if known is None or not ran:
        return
    try:
        after = _look(prepared, known.subjects, (key for key in ran if known.subjects[key].kind not in _NO_ROWS), _of_tables)
    except (DbtFlowError, OSError):
        after = {}
    now = {**{key: stamp for key, stamp in known.stamps.items() if key not in ran}, **after}
    keeper = _Keeper(judged, known, now, run, ran)
    if manifest is not None:
        keeper.manifest = manifest
    lines = {node: keeper.line(node, results.get(node)) for node in sorted(ran)}
    name = f"{prepared.plan.dag}.{part}" if part else prepared.plan.dag
    keep_evidence(prepared.job.store, prepared.plan.target, name, lines)


def _of_tables(_key: str, stamp: Stamp) -> bool:
    return stamp.kind != "view"


class _Keeper:
    def __init__(self, judged: Judged, known: Known, now: Mapping[str, Stamp], run: str, ran: frozenset[str]) -> None:
        self.plan, self.manifest = judged.prepared.plan, judged.prepared.parsed.manifest
        self.known, self.now, self.run, self.ran = known, now, run, ran

    def line(self, node: str, result: NodeResult | None) -> dict[str, Any] | None:
        """The evidence of one node; None when there is none to keep."""
        subject = self.known.subjects.get(node)
        good = "pass" if subject is not None and subject.kind in TEST_TYPES else "success"
        if subject is None or subject.never or result is None or result.status != good:
            return None
        reads = reads_of(node, self.plan, self.known)
        if any(above in self.ran and self._fills_a_source(above, reads) for above in reads.planned):
            return None  # dbt does not know which of the two came first
        never, itself = self._compiled(subject)
        made = Made(
            key=dict(subject.key),
            run=self.run,
            when=utc_text(),
            before=own_token(self.known.stamps.get(node)),
            never=never,
            itself=itself,
            rows=result.rows,
        )
        found = evidence(subject, reads, self.now, made)
        return None if found is None else found.to_dict()

    def _fills_a_source(self, node: str, reads: Reads) -> bool:
        relation = self.known.subjects[node].relation
        return any(node != read and self.known.subjects[read].relation == relation for read in reads.relations)

    def _compiled(self, subject: Subject) -> tuple[str, bool]:
        """What the SQL that was sent lets nothing hold, if anything; and whether it reads the relation that it builds."""
        if subject.kind == "seed":
            return "", False
        unit = subject.kind == "unit_test"
        holder = subject.parents[0] if unit else subject.id
        node = self.manifest.nodes.get(holder)
        sql = getattr(node, "compiled_code", None)
        if not sql:
            if (
                unit
                and holder in self.known.made
                and dict(self.known.made[holder].key) == dict(self.known.subjects[holder].key)
            ):
                return self.known.made[holder].never, False
            return "its compiled SQL is not known", False
        asks = volatile_in(sql)
        if asks or unit:
            return (f"its SQL says {asks}" if asks else ""), False
        names = {plain_name(found.relation) for found in self._direct(subject) if found.relation}
        own = plain_name(subject.relation or "")
        unknown = unknown_read(sql, names)
        if unknown and unknown == own:
            rest = unknown_read(sql, names | {own})
            return (f"it reads {rest}, which dbt knows nothing of" if rest else ""), True
        return (f"it reads {unknown}, which dbt knows nothing of" if unknown else ""), False

    def _direct(self, subject: Subject) -> list[Subject]:
        """What stands in its SQL by name: its parents, through ephemeral models."""
        found: list[Subject] = []
        waiting = list(subject.parents)
        while waiting:
            parent = self.known.subjects.get(waiting.pop())
            if parent is None:
                continue
            if parent.kind == "ephemeral":
                waiting += parent.parents
            else:
                found.append(parent)
        return found
