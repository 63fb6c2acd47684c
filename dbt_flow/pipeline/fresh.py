"""``require_fresh:`` sources that must be fresh before a run builds. dbt's own ``source freshness`` says whether they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dbt_flow.errors import DbtFlowError, ProjectError, RunCancelled, RunFailed
from dbt_flow.pipeline.prepare import Phase, Prepared
from dbt_flow.project.source_ages import Looked, source_freshness
from dbt_flow.run.lock import database_lock
from dbt_flow.state.runs import RunRecord

WAIT_FIRST, WAIT_MOST = 20.0, 600.0
"""Seconds between two looks: at first, and at the most; each pause is half as long again as the one before."""

WAIT_AT_MOST = 4 * 3600.0
"""Seconds that a DAG without ``timeout`` waits in all."""


def require_fresh(
    prepared: Prepared, record: RunRecord, who: str, phase: Phase, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Return when the sources that the DAG requires are fresh. ``sources.json`` is kept with the run.

    While it waits, the DuckDB file is free: somebody must be able to load the data.

    :raises RunFailed: ``stale-sources``, with the DAG file's line and the sources.
    :raises RunCancelled: the same, where the DAG says ``otherwise: skip``; nothing was built then, and nothing is finished.
    """
    dag = prepared.job.dag
    wanted = dag.require_fresh
    if wanted is None:
        return
    began, pause = time.monotonic(), WAIT_FIRST
    limit = dag.timeout.seconds if dag.timeout else WAIT_AT_MOST
    while True:
        phase(f"asking dbt whether {' '.join(wanted.select)} is fresh")
        looked = _look(prepared, record, who, phase)
        stale = [source for source in looked if not source.fresh]
        for source in looked:
            if source.status == "warn":
                phase(f"not as fresh as it should be (warn_after), and taken: {source.text}")
        if not stale:
            return
        named = ", ".join(source.text for source in stale[:5]) + (f" and {len(stale) - 5} more" if len(stale) > 5 else "")
        waited = time.monotonic() - began
        if wanted.otherwise == "skip":
            raise RunCancelled("run-cancelled", f"skipped: stale sources: {named}", place=dag.place("require_fresh"))
        if wanted.otherwise == "fail" or waited + pause > limit:
            after = f" after {waited / 60:.0f} minutes of waiting" if wanted.otherwise == "wait" else ""
            hint = f"load them, then: dbt-flow run {dag.name}"
            raise RunFailed("stale-sources", f"stale sources{after}: {named}", place=dag.place("require_fresh"), hint=hint)
        left = (limit - waited) / 60
        phase(f"waiting for fresh sources: {named}; the next look is in {pause:.0f} s, the last within {left:.0f} min")
        sleep(pause)
        pause = min(pause * 1.5, WAIT_MOST)


def _look(prepared: Prepared, record: RunRecord, who: str, phase: Phase) -> tuple[Looked, ...]:
    dag = prepared.job.dag
    words = dag.require_fresh.select if dag.require_fresh else ()
    path = prepared.parsed.target.path
    place = dag.place("require_fresh.select")
    try:
        with database_lock(Path(path) if path else None, who, phase):
            looked, document = source_freshness(prepared.parsed, words)
    except ProjectError as error:
        if error.code == "warehouse":
            raise
        raise ProjectError(error.code, error.message, place=error.place or place, hint=error.hint) from error
    if not looked:
        raise ProjectError(
            "selects-nothing",
            f"require_fresh: no source in {' '.join(words)} says how fresh it must be",
            place=place,
            hint="give the source a `freshness:` with `error_after:`, and a `loaded_at_field:` where the adapter needs one",
        )
    if document is not None:
        record.put("sources.json", document)
    return looked


def stale_decision(error: DbtFlowError) -> str | None:
    """The reason of every decision of a run that skips, or that stale sources kept from building; None for any other error."""
    stale = error.code == "stale-sources" or (error.code == "run-cancelled" and error.message.startswith("skipped: "))
    return error.message if stale else None
