"""What the runtime noticed and no run can tell by itself goes to the owner: held, refused, given up, missed, long due.

A DAG's run that took place tells its own end; of an ML flow's, that it failed is told here. Whose an ML flow is: the team that
``flows:`` in dbt_flow.yml names; else the owner of the exposure that its ``@needs`` names, as dbt knows it; else those of the
DAGs that build what it reads. Notices are read by a cursor in the log, so that each is handed on once, also after a crash;
from there on the outbox of :mod:`dbt_flow.report` keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.phrases import standing_of
from dbt_flow.records import FAILED, RunResult, utc_text
from dbt_flow.report.lateness import tell_alarm
from dbt_flow.report.rules import rules_of, rules_of_flow
from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.listeners import Listening, Subscriber
from dbt_flow.settings import Settings
from dbt_flow.state.places import store_of
from dbt_flow.state.runs import NO_TARGET

KINDS = ("held", "refused", "given up", "missed", "long", "waiting")
OF_FLOWS = (*KINDS, FAILED)
"""Of a flow that is no DAG also that it failed: nobody else tells that."""


@dataclass
class OwnersTold:
    """Hands notices on. :meth:`tick` is to be called outside transactions."""

    log: EventLog
    settings: Settings
    say: Callable[[str], None]

    def tick(self, listening: Listening) -> None:
        """Hand on what is new."""
        cursor = int(self.log.cursor("owners") or 0)
        news = self.log.notices_after(cursor)
        if not news:
            return
        # The cursor first: a message that is lost with a crash right here stands on the page and in the terminal all the same.
        with self.log.transaction():
            self.log.put_cursor("owners", str(news[-1]["id"]))
        for notice in news:
            subscriber = listening.by_name.get(notice["subscriber"])
            if subscriber is not None and notice["kind"] in (KINDS if subscriber.dag else OF_FLOWS):
                self._tell(subscriber, notice["text"])

    def _tell(self, subscriber: Subscriber, text: str) -> None:
        dag, store = subscriber.dag, store_of(self.settings)
        rules = rules_of(self.settings, dag) if dag else rules_of_flow(self.settings, subscriber.name, self._owners(subscriber))
        target = (dag.target if dag else None) or NO_TARGET
        nobody = RunResult(subscriber.name, subscriber.flow, "", FAILED, text, target, utc_text(), owner=rules.owner)
        try:
            tell_alarm(store, rules, nobody, text, page=False)
        except (DbtFlowError, OSError, ValueError) as error:  # telling never breaks doing
            self.say(f"{rules.owner} could not be told: {error}")

    def _owners(self, subscriber: Subscriber) -> list[str]:
        """Whose a flow is that is no DAG, first the nearest."""
        if subscriber.owner or subscriber.needs is None:
            return [subscriber.owner] if subscriber.owner else []
        try:
            return list(standing_of(store_of(self.settings), subscriber.needs).owners)
        except (DbtFlowError, OSError, ValueError, KeyError):  # what it needs cannot be made out: the page says so
            return []
