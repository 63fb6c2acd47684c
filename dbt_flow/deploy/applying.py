"""``apply()``: do what a plan says, one flow at a time. It may be interrupted anywhere, and run again.

The order within a flow is what makes that safe. Metaflow replaces the definition, which takes the marks away or leaves marks
that no longer fit; then the marks are set; then the state is written. A plan made in between finds a flow without marks
that fit, and puts it again; one made after the marks finds nothing to do.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dbt_flow.deploy.ledger import Ledger, whoami
from dbt_flow.deploy.nouns import Applied, Seen, Space, Wanted
from dbt_flow.deploy.planning import CREATE, REMOVE, SAME, UPDATE, Action, DeployPlan, known, make_plan, moved
from dbt_flow.deploy.schedulers import Phase, Scheduler
from dbt_flow.errors import DbtFlowError, InputError, Refusals
from dbt_flow.records import utc_text
from dbt_flow.settings import Settings

Told = Callable[["Done"], None]


@dataclass(frozen=True)
class Done:
    """What became of one action."""

    action: Action
    error: DbtFlowError | None = None

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        document = {key: value for key, value in self.action.to_dict().items() if key != "world"}
        return {**document, "done": self.error is None, "error": self.error.to_dict() if self.error else None}


@dataclass
class Applying:
    """One apply, from its claim to its end."""

    settings: Settings
    scheduler: Scheduler
    ledger: Ledger
    phase: Phase

    def run(
        self, saved: Mapping[str, Any] | None, agreed: Callable[[DeployPlan], None], told: Told = lambda _: None
    ) -> tuple[DeployPlan, list[Done]]:
        """Plan under the claim, and do it.

        :param saved: a saved plan: refused when the world has moved since.
        :param agreed: called with the plan before anything is done; raises to stop it.
        :raises DbtFlowError: nothing was done then. What goes wrong with one flow is told, and the others go on.
        """
        with self.ledger.held("apply"):
            plan = make_plan(self.settings, self.scheduler, self.ledger, self.phase)
            if plan.errors:
                raise plan.errors[0] if len(plan.errors) == 1 else Refusals(plan.errors)
            if saved is not None:
                refuse_moved(saved, plan)
            agreed(plan)
            return plan, self._do(plan, told)

    def destroy(
        self, names: frozenset[str], agreed: Callable[[DeployPlan], None], told: Told = lambda _: None
    ) -> tuple[DeployPlan, list[Done]]:
        """Remove what dbt-flow has deployed: all of it, or the flows of these names. Files are not read."""
        with self.ledger.held("destroy"):
            self.phase(f"asking {self.scheduler.title} what is there")
            seen = self.scheduler.current(self.ledger.space, self.phase)
            applied = known(self.ledger.applied(), seen)
            unknown = names - {name for one in applied.values() for name in (one.name, one.flow)}
            if unknown:
                there = ", ".join(sorted(one.name for one in applied.values())) or "nothing"
                message = f"{', '.join(sorted(unknown))} is not deployed by dbt-flow on {self.scheduler.title}"
                raise InputError("unknown-dag", message, hint=f"there is: {there}")
            actions = tuple(
                Action(flow, one.name, REMOVE, ("asked for",), applied=one, seen=seen[flow])
                for flow, one in sorted(applied.items())
                if not names or names & {one.name, flow}
            )
            plan = DeployPlan(self.scheduler.name, self.ledger.space, actions)
            agreed(plan)
            return plan, self._do(plan, told)

    def _do(self, plan: DeployPlan, told: Told) -> list[Done]:
        kept = self.ledger.applied()
        # What is the same on the scheduler may be unknown to a state that was lost, or that an interrupt left behind.
        kept = {action.flow: kept[action.flow] for action in plan.actions if action.seen and action.flow in kept}
        for action in plan.of(SAME):
            if action.wanted and action.seen:
                kept[action.flow] = self._entry(action.wanted, action.seen, kept.get(action.flow))
        if kept != self.ledger.applied():
            self.ledger.keep(kept)
        done = []
        for action in (*plan.of(CREATE), *plan.of(UPDATE), *plan.of(REMOVE)):
            self.ledger.say(f"{action.action} {action.name}")
            try:
                self._act(action, plan.space, kept)
                one = Done(action)
            except DbtFlowError as error:
                one = Done(action, error)
            done.append(one)
            told(one)
        return done

    def _act(self, action: Action, space: Space, kept: dict[str, Applied]) -> None:
        def phase(text: str) -> None:
            self.phase(f"{action.action} {action.name}: {text}")

        if action.action == REMOVE and action.seen is not None:
            self.scheduler.remove(action.seen, phase)
            kept.pop(action.flow, None)
        elif action.wanted is not None:
            seen = self.scheduler.put(action.wanted, space, action.seen, phase)
            kept[action.flow] = self._entry(action.wanted, seen, None)
        self.ledger.keep(kept)

    def _entry(self, wanted: Wanted, seen: Seen, before: Applied | None) -> Applied:
        if before is not None and before.digest == wanted.digest and before.seal == seen.seal:
            return before
        entry = Applied(wanted.flow, wanted.name, wanted.kind, wanted.digest, seen.seal, wanted.place.file)
        return replace(
            entry,
            inputs={name: one.to_dict() for name, one in wanted.inputs.items()},
            part_digests=wanted.part_digests,
            parts={part: dict(items) for part, items in wanted.parts.items()},
            at=utc_text(),
            by=str(whoami()["who"]),
            revision=_revision(self.settings),
        )


def refuse_moved(saved: Mapping[str, Any], plan: DeployPlan) -> None:
    """:raises InputError: ``plan-stale``, with what is no longer as the saved plan saw it."""
    if saved.get("fingerprint") == plan.fingerprint:
        return
    what = moved(saved, plan)
    shown = "; ".join(what[:5]) + (f"; and {len(what) - 5} more" if len(what) > 5 else "")
    raise InputError("plan-stale", f"the world has moved since this plan was made: {shown}", hint="plan again, and look at it")


def _revision(settings: Settings) -> str:
    """The git revision of the root; empty where there is none."""
    command = ["git", "-C", str(settings.root), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
