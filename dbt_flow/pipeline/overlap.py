"""``overlap: skip`` by our own hand, where a scheduler has no place for it: a start while an older run goes on skips.

``serve`` and Argo's schedules see to it before anything starts. EventBridge does not, nor do Argo's triggers: there the run's
first step looks for an older run of the same DAG, and leaves, cancelled, with nothing built.
"""

from __future__ import annotations

from datetime import datetime, timezone

from dbt_flow.errors import RunCancelled
from dbt_flow.records import utc_moment
from dbt_flow.spec import Dag
from dbt_flow.state.history import history
from dbt_flow.state.runs import RunRecord, find_runs, goes_on

DEPLOYED = ("argo-", "sfn-")
"""How Metaflow's ids of runs begin that a scheduler started."""
TAKEN_FOR_DEAD = 24 * 3600.0
"""Seconds after which a run without an end is taken for dead where the DAG has no ``timeout``: a pod can die without a word."""
_REMEMBERED = 10_000


def alone(dag: Dag, record: RunRecord) -> None:
    """Return when no older run of the DAG goes on, or may go on beside this one.

    :raises RunCancelled: one goes on, and the DAG says ``overlap: skip``.
    """
    ref = record.ref
    if not ref.number.startswith(DEPLOYED) or (dag.overlap or dag.default_overlap) != "skip":
        return
    ours = _began(record)
    now = datetime.now(timezone.utc).timestamp()
    longest = dag.timeout.seconds * (dag.retries + 1) if dag.timeout else TAKEN_FOR_DEAD
    # A scheduler's numbers do not grow with time; who has ended is in the history, which is one document.
    ended = {str(line["run"]).rpartition("/")[2] for line in history(record.store, ref.dag, ref.target, _REMEMBERED)}
    for other in find_runs(record.store, ref.dag, ref.target):
        if other.number == ref.number or other.number in ended or not other.number.startswith(DEPLOYED):
            continue
        theirs = RunRecord(record.store, other)
        began = _began(theirs)
        # Of two that begin at once one must go on: the one that began first, or is first by its number.
        if began is None or (began, other.number) > (ours or now, ref.number) or now - began > longest:
            continue
        if theirs.result() is None and goes_on(theirs):
            message = f"skipped: {dag.flow_name}/{other.number} is still running (overlap: skip)"
            raise RunCancelled("run-cancelled", message, place=dag.place("overlap"))


def _began(record: RunRecord) -> float | None:
    attempts = record.attempts()
    started = attempts[0].header.get("started") if attempts else None
    return utc_moment(str(started)).timestamp() if started else None
