"""The difference between what is wanted and what is there, as a value: told to people, saved to a file, done by ``apply``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dbt_flow.deploy.contract import broken_by
from dbt_flow.deploy.ledger import Ledger
from dbt_flow.deploy.nouns import PARTS, Applied, Seen, Space, Wanted, digest, family_of
from dbt_flow.deploy.schedulers import Phase, Scheduler
from dbt_flow.deploy.wanted import CHANGES, READS, everything
from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.settings import Settings

VERSION = 1
CREATE, UPDATE, SAME, REMOVE, KEEP = "create", "update", "same", "remove", "keep"
CHANGING = (CREATE, UPDATE, REMOVE)
_NAMED = 3  # changes of one kind that a sentence names


@dataclass(frozen=True)
class Action:
    """What becomes of one flow, and why."""

    flow: str
    name: str
    action: str
    because: tuple[str, ...] = ()
    wanted: Wanted | None = None
    applied: Applied | None = None
    seen: Seen | None = None

    @property
    def world(self) -> list[str | None]:
        """What the action stands on: when this is another, so may be the action."""
        return [self.action, self.wanted.digest if self.wanted else None, self.seen.seal if self.seen else None]

    def to_dict(self) -> dict[str, Any]:
        """For ``--json`` and for a saved plan."""
        return {
            "flow": self.flow,
            "name": self.name,
            "action": self.action,
            "because": list(self.because),
            "starts": self.wanted.starts if self.wanted else None,
            "resource": self.seen.resource if self.seen else None,
            "world": self.world,
        }


@dataclass(frozen=True)
class DeployPlan:
    """All of it, for one scheduler and space."""

    scheduler: str
    space: Space
    actions: tuple[Action, ...]
    errors: tuple[DbtFlowError, ...] = ()
    """While there are any nothing is applied."""
    strangers: tuple[Seen, ...] = field(default=())
    """Flows of the space that dbt-flow did not deploy, and that nobody wants of it."""

    def of(self, *kinds: str) -> tuple[Action, ...]:
        """Those that do one of these."""
        return tuple(action for action in self.actions if action.action in kinds)

    @property
    def changes(self) -> tuple[Action, ...]:
        """Those that do something."""
        return self.of(*CHANGING)

    @property
    def shared(self) -> tuple[str, ...]:
        """Reasons that more updates have than anybody wants to read one by one: another image, another dbt."""
        count = Counter(reason for action in self.of(UPDATE) for reason in action.because)
        return tuple(reason for reason, times in count.items() if times > _NAMED)

    @property
    def fingerprint(self) -> str:
        """Another as soon as anything is."""
        return digest([[action.flow, *action.world] for action in self.actions])

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` and ``--out`` have it."""
        return {
            "version": VERSION,
            "scheduler": self.scheduler,
            "project": self.space.project,
            "branch": self.space.branch,
            "fingerprint": self.fingerprint,
            "flows": [action.to_dict() for action in self.actions],
            "errors": [error.to_dict() for error in self.errors],
        }


def make_plan(settings: Settings, scheduler: Scheduler, ledger: Ledger, phase: Phase) -> DeployPlan:
    """Ask the files, dbt, the state and the scheduler.

    What a file says wrong is in :attr:`DeployPlan.errors`, with its place.

    :raises DbtFlowError: the scheduler or the state cannot be read.
    """
    kept = ledger.applied()  # first: a state that a newer dbt-flow wrote stops everything
    phase(f"asking {scheduler.title} what is there")
    seen = scheduler.current(ledger.space, phase)
    wanted, errors = everything(settings, scheduler.surroundings(), phase)
    wanted_here, more = _in_space(wanted, ledger.space)
    errors += [*more, *scheduler.problems(wanted_here)]
    applied = known(kept, seen)
    plan = compare(wanted_here, applied, seen, ledger.space, scheduler.name)
    broken = [
        error
        for action in plan.of(UPDATE)
        if action.wanted and action.applied
        for error in broken_by(action.wanted, action.applied)
    ]
    actions = tuple(_not_known(action) if errors and action.action == REMOVE else action for action in plan.actions)
    return DeployPlan(plan.scheduler, plan.space, actions, (*errors, *broken), plan.strangers)


def _not_known(action: Action) -> Action:
    """A flow that nobody wants, while files are wrong: one of them may be its own."""
    return replace(action, action=KEEP, because=("whether it is wanted is not known while files are wrong",))


def known(kept: Mapping[str, Applied], seen: Mapping[str, Seen]) -> dict[str, Applied]:
    """What is deployed, by the marks on the scheduler; the state adds the detail where it tells of the same deployment."""
    found = {}
    for flow, one in seen.items():
        marked, ours = one.applied, kept.get(flow)
        if marked is not None:
            found[flow] = ours if ours is not None and ours.digest == marked.digest and ours.seal == marked.seal else marked
    return found


def compare(
    wanted: Sequence[Wanted], applied: Mapping[str, Applied], seen: Mapping[str, Seen], space: Space, scheduler: str
) -> DeployPlan:
    """The action for each flow."""
    actions = [_for_wanted(one, applied.get(one.flow), seen.get(one.flow)) for one in wanted]
    families = {family_of(one.flow)[0]: one for one in wanted}
    flows = {one.flow for one in wanted}
    strangers = []
    for flow, one in sorted(seen.items()):
        if flow in flows:
            continue
        was = applied.get(flow)
        if was is None:
            strangers.append(one)
            continue
        family, number = family_of(flow)
        newer = families.get(family)
        if newer is not None and family_of(newer.flow)[1] > number:
            why = f"version {number}, beside version {family_of(newer.flow)[1]}; dbt-flow deploy destroy {was.name} removes it"
            actions.append(Action(flow, was.name, KEEP, (why,), applied=was, seen=one))
        else:
            actions.append(Action(flow, was.name, REMOVE, (f"{was.file or was.name} is gone",), applied=was, seen=one))
    return DeployPlan(scheduler, space, tuple(actions), strangers=tuple(strangers))


def _for_wanted(wanted: Wanted, applied: Applied | None, seen: Seen | None) -> Action:
    if seen is None:
        return Action(wanted.flow, wanted.name, CREATE, wanted=wanted)
    if applied is None:
        why = ("what is there was not deployed by dbt-flow, or only in part",)
        return Action(wanted.flow, wanted.name, UPDATE, why, wanted, None, seen)
    because = list(changes(applied, wanted)) if applied.digest != wanted.digest else []
    because += edits(applied, seen)
    return Action(wanted.flow, wanted.name, UPDATE if because else SAME, tuple(because), wanted, applied, seen)


def edits(applied: Applied, seen: Seen) -> list[str]:
    """What was done behind our back, in words."""
    found = [f"its {part} is gone from the scheduler" for part in seen.missing]
    if not found and applied.seal != seen.seal:
        found.append("it was changed on the scheduler, not by dbt-flow")
    return found


def changes(applied: Applied, wanted: Wanted) -> list[str]:
    """Which change asks for an update, in words, the DAG file's first."""
    found: list[str] = []
    if applied.parts is None:
        before = applied.part_digests or {}
        parts = [words for part, words in PARTS.items() if before.get(part) != wanted.part_digests.get(part)]
        found = [f"{words} changed (what of it is not known: the state was lost)" for words in parts]
    else:
        for part in PARTS:
            found += _of_part(part, applied.parts.get(part, {}), wanted.parts.get(part, {}))
    return found or ["its inputs changed"]


def _of_part(part: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if not changed:
        return []
    if part == "dbt":
        return _of_dbt(changed, before, after)
    if part == "yaml":
        return [f"{_named(changed)} in the DAG file"]
    if part == "versions":
        return [f"{name} {before.get(name, 'none')} is now {after.get(name, 'none')}" for name in changed]
    if part == "surroundings":
        return [
            f"{name} is now {after[name] or 'not set'}" if name in after else f"{name} is no longer set" for name in changed
        ]
    return [f"{_named(changed)} changed"]


def _of_dbt(changed: Sequence[str], before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Nodes by what happened to them: the SQL of one, the config of others, new ones, gone ones."""
    kinds: dict[str, list[str]] = {}
    words = [*CHANGES.values(), READS]
    for key in changed:
        name = _short(key)
        if key not in before or key not in after:
            kinds.setdefault("new" if key in after else "gone", []).append(name)
        elif "." not in after[key]:
            kinds.setdefault("it", []).append(name)
        else:
            pairs = zip(before[key].split("."), after[key].split("."), strict=False)
            first = next((word for word, (old, new) in zip(words, pairs, strict=False) if old != new), "it")
            kinds.setdefault(first, []).append(name)
    sentences = []
    for kind, names in kinds.items():
        said = _named(names)
        if kind == "it":
            sentences.append(f"{said} changed")
        elif kind in ("new", "gone"):
            sentences.append(f"{said} {'are' if len(names) > 1 else 'is'} {kind}")
        else:
            sentences.append(f"{kind} of {said} changed" if kind in ("SQL", "config") else f"{kind} changed: {said}")
    return sentences


def _short(key: str) -> str:
    """``model.shop.totals`` is ``model totals``."""
    parts = key.split(".")
    return f"{parts[0].replace('_', ' ')} {parts[2]}" if len(parts) > 2 else key


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _in_space(wanted: Sequence[Wanted], space: Space) -> tuple[list[Wanted], list[DbtFlowError]]:
    """A flow without ``@project`` has no branches: on one it would replace production's."""
    if space.branch is None:
        return list(wanted), []
    errors: list[DbtFlowError] = []
    for one in wanted:
        if not one.in_project:
            hint = f'write @project(name="{space.project}") above the class, or take the file out of flows: on this branch'
            message = f"{one.name} has no @project, so its deployment on a branch would replace the one in production"
            errors.append(InputError("not-deployable", message, place=one.place, hint=hint))
    return [one for one in wanted if one.in_project], errors


def moved(saved: Mapping[str, Any], plan: DeployPlan) -> list[str]:
    """What is no longer as a saved plan saw it, flow by flow."""
    before = {one["flow"]: one for one in saved.get("flows", ())}
    after = {action.flow: action for action in plan.actions}
    found = []
    for flow in sorted(before.keys() | after.keys()):
        then, now = before.get(flow), after.get(flow)
        if then is None or now is None:
            found.append(f"{flow} is {'new' if then is None else 'gone'}")
        elif list(then["world"]) != now.world:
            words = [("action", "what is to be done"), ("wanted", "its files"), ("seen", "what the scheduler has")]
            which = [word for (_, word), old, new in zip(words, then["world"], now.world, strict=True) if old != new]
            found.append(f"{flow}: {' and '.join(which)}")
    return found
