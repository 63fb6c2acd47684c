"""A scheduler that is a dictionary: it keeps what is put, and can be told to die, or to refuse, at a named point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dbt_flow.deploy.nouns import Seen, Space, Wanted, digest, marks_of
from dbt_flow.errors import DbtFlowError, RunFailed

POINTS = ("before", "made", "marked", "removing")


class Died(BaseException):
    """As ``kill -9`` would: nobody catches it."""


@dataclass
class StandInScheduler:
    """A :class:`dbt_flow.deploy.schedulers.Scheduler`."""

    name = "argo"
    title = "Argo Workflows"
    there: dict[str, Seen] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    dies_at: tuple[str, str] | None = None
    """A flow and one of :data:`POINTS`."""
    fails: tuple[str, ...] = ()
    around: dict[str, str] = field(default_factory=dict)
    meanwhile: Callable[[], None] = lambda: None
    """Called whenever something is put."""

    def surroundings(self) -> Mapping[str, str]:
        return self.around

    def problems(self, wanted: Sequence[Wanted]) -> list[DbtFlowError]:
        return []

    def current(self, space: Space, phase: Callable[[str], None]) -> Mapping[str, Seen]:
        return dict(self.there)

    def put(self, wanted: Wanted, space: Space, before: Seen | None, phase: Callable[[str], None]) -> Seen:
        self.meanwhile()
        self._point(wanted.flow, "before")
        if wanted.flow in self.fails:
            raise RunFailed("deploy-failed", f"{wanted.name} could not be deployed: told so")
        seal = digest(wanted.digest, len(self.did))
        # As on Argo: what is made new has no marks.
        seen = self.there[wanted.flow] = Seen(wanted.flow, wanted.flow.lower(), seal, token="t")
        self._point(wanted.flow, "made")
        seen = self.there[wanted.flow] = replace(seen, marks=marks_of(wanted, space, seal))
        self.did.append(f"put {wanted.flow}")
        self._point(wanted.flow, "marked")
        return seen

    def remove(self, seen: Seen, phase: Callable[[str], None]) -> None:
        self.there[seen.flow] = replace(seen, missing=("schedule",))
        self._point(seen.flow, "removing")
        self.there.pop(seen.flow, None)
        self.did.append(f"remove {seen.flow}")

    def _point(self, flow: str, point: str) -> None:
        if self.dies_at == (flow, point):
            self.dies_at = None
            raise Died(f"{flow} {point}")
