"""What somebody who is always there looks after: DAGs that are late, runs that nobody told of, the outbox."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.records import RUNNING, utc_text
from dbt_flow.report import sender
from dbt_flow.report.deadlines import overdue
from dbt_flow.report.lateness import tell_late
from dbt_flow.report.outbox import Outbox
from dbt_flow.report.rules import Rules
from dbt_flow.report.telling import tell_all_untold
from dbt_flow.state.history import history
from dbt_flow.state.runs import NO_TARGET, RunRecord, find_runs
from dbt_flow.state.store import Store

_LOOK_BACK = 5
_OLD_NEWS = timedelta(hours=12)
"""A deadline that passed so long ago is not told any more by who was not there when it did."""


def go_round(store: Store, known: Iterable[tuple[Rules, str | None]], now: datetime) -> list[str]:
    """Look once; call it every minute. Gives what was told, in words.

    :param known: each DAG's rules, with the target it names
    """
    told = []
    for rules, target in known:
        where = target or _last_target(store, rules.dag)
        late = overdue(rules, runs_of(store, rules.dag, where), now) if rules.done_by else None
        if late and late.by < _OLD_NEWS and tell_late(store, rules, where, late):
            told.append(late.headline)
    with suppress(DbtFlowError):
        tell_all_untold(store)
    outbox = Outbox(store)
    wait = outbox.next_try()
    if wait is not None and wait <= 0:
        sender.start(store)
    return told


def runs_of(store: Store, dag: str, target: str) -> list[dict[str, Any]]:
    """The last runs of a DAG, newest first: those that go on, then those that were settled."""
    going = []
    for ref in islice(find_runs(store, dag, target), _LOOK_BACK):
        record = RunRecord(store, ref)
        with suppress(DbtFlowError):
            attempts = record.attempts() if record.result() is None else ()
            if attempts:
                began = attempts[0].header.get("started") or utc_text()
                going.append({"run": attempts[0].header.get("run"), "status": RUNNING, "started": began})
    return [*going, *history(store, dag, target, 30)]


def _last_target(store: Store, dag: str) -> str:
    lines = history(store, dag, None, 1)
    return str(lines[0].get("target") or NO_TARGET) if lines else NO_TARGET
