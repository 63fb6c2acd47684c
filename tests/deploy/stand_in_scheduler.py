"""A scheduler that is a dictionary: it keeps what is put."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dbt_flow.deploy.nouns import Seen, Space, Wanted, digest, marks_of
from dbt_flow.errors import DbtFlowError


@dataclass
class StandInScheduler:
    """A :class:`dbt_flow.deploy.schedulers.Scheduler`."""

    name = "argo"
    title = "Argo Workflows"
    there: dict[str, Seen] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    around: dict[str, str] = field(default_factory=dict)

    def surroundings(self) -> Mapping[str, str]:
        return self.around

    def problems(self, wanted: Sequence[Wanted]) -> list[DbtFlowError]:
        return []

    def current(self, space: Space, phase: Callable[[str], None]) -> Mapping[str, Seen]:
        return dict(self.there)

    def put(self, wanted: Wanted, space: Space, before: Seen | None, phase: Callable[[str], None]) -> Seen:
        seal = digest(wanted.digest, len(self.did))
        self.there[wanted.flow] = Seen(wanted.flow, wanted.flow.lower(), seal, marks_of(wanted, space, seal), "t")
        self.did.append(f"put {wanted.flow}")
        return self.there[wanted.flow]

    def remove(self, seen: Seen, phase: Callable[[str], None]) -> None:
        self.there.pop(seen.flow, None)
        self.did.append(f"remove {seen.flow}")
