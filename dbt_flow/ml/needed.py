"""``@needs``: what a flow reads, and how good that must be."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from metaflow import trigger_on_finish

from dbt_flow.errors import InputError
from dbt_flow.ml.guard import guard
from dbt_flow.ml.receipts import Receipts
from dbt_flow.plan.needs import ACCEPTED, ATTRIBUTE, Contract
from dbt_flow.records import flow_name

F = TypeVar("F")

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_OPEN = "__dbt_flow_receipts__"
"""Metaflow keeps no attribute whose name begins so: open, it holds a store, and is no artifact."""


def needs(
    *,
    dags: Sequence[str] = (),
    tables: Sequence[str] = (),
    exposure: str | None = None,
    max_age: str | None = None,
    accept: Sequence[str] = ACCEPTED,
    target: str | None = None,
) -> Callable[[type[F]], type[F]]:
    """Say what a flow reads. ``dbt-flow serve`` starts it when all of that is good, and holds it, with the reason, when not.

    With ``dags`` it also becomes Metaflow's ``@trigger_on_finish``, so that Argo Workflows starts it when they are good in
    full. Wherever it was started, its first step does not run when something is not good, and ``self.receipts`` reads only
    what is.

    :param dags: names of DAGs; without ``tables`` and ``exposure`` it needs all that they build
    :param tables: models, seeds, snapshots: names, ids or relations
    :param exposure: a dbt exposure: what it depends on
    :param max_age: ``24h``, ``90m``, ``2d``: how long ago a table may have been built at the most
    :param accept: statuses that are good enough; beside dbt's own words ``softened`` (a failure that only warns because the
        DAG says ``tests.on_fail: warn``) and ``missing`` (a run that began without an upstream, ``otherwise: run``)
    :param target: the dbt target, where there are several
    :raises InputError: it names nothing, or ``max_age`` is no duration
    """
    for name, value in (("dags", dags), ("tables", tables), ("accept", accept)):
        if isinstance(value, str):
            raise InputError("bad-value", f"@needs: {name} is a text", hint=f'write a list: {name}=["{value}"]')
    if not (dags or tables or exposure):
        raise InputError("bad-value", "@needs names nothing", hint='name what is read: @needs(tables=["fct_loads"])')
    contract = Contract(tuple(dags), tuple(tables), exposure, _seconds(max_age), tuple(accept), target)

    def decorate(flow: type[F]) -> type[F]:
        setattr(flow, ATTRIBUTE, contract.to_dict())
        flow.receipts = property(_receipts)  # type: ignore[attr-defined]
        guard(flow)
        if contract.dags:
            flows = [flow_name(name) if name[0].islower() else name for name in contract.dags]
            arguments: dict[str, Any] = {"flow": flows[0]} if len(flows) == 1 else {"flows": flows}
            flow = trigger_on_finish(**arguments)(flow)
        return flow

    return decorate


def _receipts(flow: Any) -> Receipts:
    """``self.receipts``: the same value as long as a step runs."""
    found: Receipts | None = flow.__dict__.get(_OPEN)
    if found is None:
        found = Receipts.of(flow, Contract.from_dict(getattr(type(flow), ATTRIBUTE)))
        setattr(flow, _OPEN, found)
    return found


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhd])", text)
    if match is None:
        raise InputError("bad-duration", f"@needs: max_age is {text!r}", hint="write 90m, 24h or 2d")
    return float(match[1]) * _UNITS[match[2]]
