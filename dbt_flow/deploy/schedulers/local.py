"""``local``: what ``dbt-flow serve`` runs. It reads the files as they are, so to deploy is to say that they are meant so.

The record of it holds contracts (a breaking input is refused before callers find out), and a plan says what has changed since.
Nothing is started or stopped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dbt_flow.deploy.ledger import Ledger
from dbt_flow.deploy.nouns import Seen, Space, Wanted, marks_of
from dbt_flow.deploy.schedulers import Phase
from dbt_flow.errors import DbtFlowError
from dbt_flow.settings import Settings
from dbt_flow.state.places import store_of


class LocalScheduler:
    """See :class:`~dbt_flow.deploy.schedulers.Scheduler`. Its flows are those of the state's document."""

    name, title = "local", "dbt-flow serve"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def surroundings(self) -> Mapping[str, str]:
        """Nothing: ``serve`` runs in the same place."""
        return {}

    def problems(self, wanted: Sequence[Wanted]) -> list[DbtFlowError]:  # noqa: ARG002 - the protocol's signature
        """None: ``serve`` knows every key."""
        return []

    def current(self, space: Space, phase: Phase) -> Mapping[str, Seen]:  # noqa: ARG002 - the protocol's signature
        """See the protocol."""
        ledger = Ledger(store_of(self.settings), self.name, space)
        found = {}
        for flow, one in ledger.applied().items():
            marks = {"version": "1", "name": one.name, "kind": one.kind, "digest": one.digest, "seal": one.seal}
            found[flow] = Seen(flow, one.name, one.seal, marks)
        return found

    def put(self, wanted: Wanted, space: Space, before: Seen | None, phase: Phase) -> Seen:  # noqa: ARG002 - the protocol's
        """See the protocol; the document that is written next is all there is to it."""
        return Seen(wanted.flow, wanted.name, wanted.digest, marks_of(wanted, space, wanted.digest))

    def remove(self, seen: Seen, phase: Phase) -> None:
        """See the protocol."""
