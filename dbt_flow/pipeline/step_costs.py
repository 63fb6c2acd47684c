"""What steps of their own cost: measured in each run, remembered, and said by ``plan`` before the next one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.isolation import Isolation
from dbt_flow.state.store import Store, get_json, put_json

_KEY = "costs/steps.json"
_WEIGHT = 0.5  # of the newest run against what was known
_TASK, _DBT = 0.6, 2.1  # CPU seconds on a quiet machine, until a run has measured them
_UNSEEN = 0.15  # CPU seconds of a task before and after what it can measure of itself


@dataclass(frozen=True)
class StepCosts:
    """CPU seconds on this machine."""

    task: float = _TASK
    """Of a Metaflow task, whatever it does."""
    dbt: float = _DBT
    """Of starting dbt in one: its import, and the stored manifest."""

    def more(self, shape: Isolation) -> float:
        """How much more a run of this shape costs than one of one step: its further tasks, and further starts of dbt.

        The launcher, too, starts dbt: it asks for the plan.
        """
        return (len(shape.steps) - 1) * self.task + shape.starts * self.dbt

    def sentence(self, shape: Isolation) -> str:
        """The same in words, with the formula."""
        waves = len({step.part for step in shape.isolated})
        return (
            f"{len(shape.isolated)} steps of their own in {waves} wave{'s' if waves > 1 else ''}: "
            f"about {self.more(shape):.0f} CPU seconds more than in one dbt "
            f"({len(shape.steps) - 1} more tasks × {self.task:.1f} s, {shape.starts} more starts of dbt × {self.dbt:.1f} s)"
        )


def known_costs(store: Store) -> StepCosts:
    """As measured by earlier runs, else as measured on a quiet machine."""
    with suppress(DbtFlowError, TypeError, ValueError, KeyError):
        found = get_json(store, _KEY)
        if found:
            return StepCosts(float(found["task"]), float(found["dbt"]))
    return StepCosts()


def learn_costs(store: Store, left: Iterable[Mapping[str, Any]]) -> None:
    """Mix what the steps of a run measured into what is known; it is never a run's loss."""
    seen = [item for item in left if "cpu" in item]
    tasks = [item["cpu"] - item["cpu_of_dbt"] + _UNSEEN for item in seen]
    starts = [item["cpu_to_start"] for item in seen if item["cpu_to_start"]]
    if not tasks or not starts:
        return
    before = known_costs(store)
    new = StepCosts(sum(tasks) / len(tasks), sum(starts) / len(starts))
    with suppress(DbtFlowError):
        document = {
            name: round(old + _WEIGHT * (now - old), 3)
            for name, old, now in (("task", before.task, new.task), ("dbt", before.dbt, new.dbt))
        }
        put_json(store, _KEY, document)
