"""Before the first step of a flow with ``@needs``: the records are asked once more, also for a flow that reads by its own ways.

``serve`` looks when a run has ended. Between that and the first step time may pass: the flow waits for its turn while its
tables grow old or are built anew. A flow that was started by hand, or by Argo, nobody has looked for at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from metaflow import UserStepDecorator, current
from metaflow.exception import MetaflowException

from dbt_flow.errors import RunFailed
from dbt_flow.pipeline.phrases import standing_of
from dbt_flow.plan.needs import ATTRIBUTE, Contract, judge
from dbt_flow.settings import load_settings
from dbt_flow.state.places import store_of


class what_it_needs_is_good(UserStepDecorator):  # type: ignore[misc]
    """On the first step of a flow: its body does not run when what the flow needs is not good."""

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> None:  # noqa: ARG002 - Metaflow's signature
        """Metaflow calls this in the task, before the step's body."""
        said = getattr(type(flow), ATTRIBUTE, None)
        if said is not None:  # a step that another flow has inherited
            contract = Contract.from_dict(said)
            reasons = judge(contract, standing_of(store_of(load_settings()), contract).words, time.time())
            if reasons:
                raise not_met(f"{current.flow_name}/{current.run_id}", reasons)


class MayNotRead(RunFailed, MetaflowException):  # type: ignore[misc]
    """A flow may not read, or what it has read is no longer what it chose. Metaflow shows it in words, without a traceback."""

    headline = "What this flow reads is not good"

    source_file = None
    line_no = None

    @property
    def reason(self) -> str:
        """Why, without what to do."""
        return self.message.partition("\n")[0]


def not_met(run: str, reasons: list[str]) -> MayNotRead:
    """The refusal to read, with every reason."""
    hint = "mend what is named, or say in @needs(accept=[...]) what is good enough"
    return MayNotRead("needs-not-met", f"{run} may not read: {'; '.join(reasons)}\n    {hint}")  # Metaflow shows no hints


def changed(reason: str) -> MayNotRead:
    """The refusal of a table that is another one than the run chose."""
    hint = "nothing was read: with @retry the step reads the new one; else run the flow again"
    return MayNotRead("table-changed", f"{reason}\n    {hint}")


def guard(flow: type[Any]) -> None:
    """Put it before the flow's first step."""
    steps = {name: found for name in dir(flow) if getattr(found := getattr(flow, name, None), "is_step", False)}
    first: Callable[..., None] | None = steps.get("start") or (next(iter(steps.values())) if len(steps) == 1 else None)
    if first is not None:
        what_it_needs_is_good()(first)
