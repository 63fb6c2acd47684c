"""What the runtime noticed and no run can tell by itself goes to the DAG's owner: held, refused, given up, missed, long due.

A run that took place tells its own end. Notices are read by a cursor in the log, so that each is handed on once, also after a
crash; from there on the outbox of :mod:`dbt_flow.report` keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dbt_flow.errors import DbtFlowError
from dbt_flow.records import FAILED, RunResult, utc_text
from dbt_flow.report.lateness import tell_alarm
from dbt_flow.report.rules import rules_of
from dbt_flow.serve.eventlog import EventLog
from dbt_flow.serve.listeners import Listening, Subscriber
from dbt_flow.settings import Settings
from dbt_flow.state.runs import NO_TARGET
from dbt_flow.state.store import FolderStore

KINDS = ("held", "refused", "given up", "missed", "long", "waiting")


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
            if notice["kind"] in KINDS and subscriber is not None and subscriber.dag is not None:
                self._tell(subscriber, notice["text"])

    def _tell(self, subscriber: Subscriber, text: str) -> None:
        dag = subscriber.dag
        assert dag is not None  # noqa: S101 - tick() has looked
        nobody = RunResult(dag.name, dag.flow_name, "", FAILED, text, dag.target or NO_TARGET, utc_text(), owner=dag.owner)
        try:
            tell_alarm(FolderStore(self.settings.state), rules_of(self.settings, dag), nobody, text, page=False)
        except (DbtFlowError, OSError, ValueError) as error:  # telling never breaks doing
            self.say(f"{dag.owner} could not be told: {error}")
