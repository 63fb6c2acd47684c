"""What a scheduler must be able to do, and the ones that there are. A new one is a file here and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Protocol

from dbt_flow.deploy.nouns import Seen, Space, Wanted
from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.settings import Settings

Phase = Callable[[str], None]


class Scheduler(Protocol):
    """Every verb may raise :class:`~dbt_flow.errors.DbtFlowError`: unreachable, forbidden, failed."""

    name: str
    """As ``--to`` says it."""
    title: str
    """As its makers say it."""

    def surroundings(self) -> Mapping[str, str]:
        """What, beside its code, decides how a flow is deployed: datastore, image, service account; by name."""

    def problems(self, wanted: Sequence[Wanted]) -> list[DbtFlowError]:
        """What cannot be deployed here, and what is missing for it, before anything is asked of the scheduler."""

    def current(self, space: Space, phase: Phase) -> Mapping[str, Seen]:
        """Every flow of the space that is there, ours or not, by flow; flows without a project among them."""

    def put(self, wanted: Wanted, space: Space, before: Seen | None, phase: Phase) -> Seen:
        """Create or replace, and mark as the last act: what is not marked is half-made, and is put again."""

    def remove(self, seen: Seen, phase: Phase) -> None:
        """Take away all that belongs to it, what starts it first; what is gone already is no error."""


TARGETS: Mapping[str, tuple[str, str]] = {
    "argo": ("argo", "ArgoScheduler"),
    "step-functions": ("step_functions", "StepFunctionsScheduler"),
    "local": ("local", "LocalScheduler"),
}
"""Module and class of each, imported when used: one needs Kubernetes' client, another boto3."""


EXTRAS: Mapping[str, str] = {"kubernetes": "pip install 'dbt-flow[argo]'", "boto3": "pip install boto3"}
"""The clients, and how each is installed."""


def scheduler_for(target: str, settings: Settings) -> Scheduler:
    """The scheduler that ``--to`` names.

    :raises InputError: ``missing-extra``: its client is not installed.
    """
    module, kind = TARGETS[target]
    try:
        found: Scheduler = getattr(import_module(f"{__name__}.{module}"), kind)(settings)
    except ModuleNotFoundError as error:
        package = error.name or ""
        if package not in EXTRAS:
            raise
        hint = f"install it: {EXTRAS[package]}"
        raise InputError("missing-extra", f"--to {target} needs the package {package}", hint=hint) from None
    return found
