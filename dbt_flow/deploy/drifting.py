"""``drift()``: what the scheduler has, against what was applied: deleted, changed by hand, half-made, or somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dbt_flow.deploy.ledger import Ledger
from dbt_flow.deploy.nouns import Applied, Seen
from dbt_flow.deploy.planning import edits, known
from dbt_flow.deploy.schedulers import Phase, Scheduler


@dataclass(frozen=True)
class Drift:
    """One flow that is not as it was applied."""

    flow: str
    name: str
    what: str
    ours: bool = True
    """False for a flow that dbt-flow never deployed: told, and no fault."""

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"flow": self.flow, "name": self.name, "what": self.what, "ours": self.ours}


def drift(scheduler: Scheduler, ledger: Ledger, phase: Phase) -> list[Drift]:
    """Read the scheduler itself; neither files nor dbt are asked.

    :raises DbtFlowError: the scheduler or the state cannot be read.
    """
    kept = ledger.applied()
    phase(f"asking {scheduler.title} what is there")
    return compare_with(kept, scheduler.current(ledger.space, phase))


def compare_with(kept: Mapping[str, Applied], seen: Mapping[str, Seen]) -> list[Drift]:
    """The flows that are not as they were applied, by name."""
    applied = known(kept, seen)
    found = []
    for flow in sorted(kept.keys() | seen.keys()):
        there, was = seen.get(flow), kept.get(flow)
        if there is None and was is not None:
            found.append(Drift(flow, was.name, "it was deleted on the scheduler"))
        elif there is not None and flow not in applied:
            if was is None:
                found.append(Drift(flow, flow, "dbt-flow did not deploy it", ours=False))
            else:
                found.append(Drift(flow, was.name, "it was deployed by something else, or only in part"))
        elif there is not None:
            now = applied[flow]
            if was is not None and was.digest != now.digest:
                found.append(Drift(flow, was.name, "somebody applied it with a state that this one does not know"))
            found += [Drift(flow, now.name, what) for what in edits(now, there)]
    return found
