"""What of Metaflow's configuration decides how a flow is deployed, and what of it is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from metaflow import metaflow_config

from dbt_flow.deploy.nouns import Wanted, digest
from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.pipeline.carrying import profile_refusals, profiles_file, state_refusals
from dbt_flow.pipeline.job import Job
from dbt_flow.settings import Settings

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|HEADERS")


def configured(names: Sequence[str]) -> dict[str, str]:
    """The settings of these names that are set, as text. No secret is among them."""
    found = {name: getattr(metaflow_config, name, None) for name in names if not _SECRET.search(name)}
    return {name: str(value) for name, value in found.items() if value not in (None, "", {}, [])}


def said_of_remote(settings: Settings) -> dict[str, str]:
    """What ``remote`` in ``dbt_flow.yml`` gives to every task: of variables a digest of the value."""
    remote = settings.destinations.remote
    found = {"remote.image": remote.image or "", "remote.secrets": ", ".join(remote.secrets)}
    found |= {f"remote.variables.{name}": digest(os.environ.get(name)) for name in remote.variables}
    return {name: value for name, value in found.items() if value}


def setting(name: str) -> Any:
    """One setting of Metaflow's; None when it is not set."""
    return getattr(metaflow_config, name, None) or None


def datastore_problems(title: str, good: Sequence[str]) -> list[DbtFlowError]:
    """A scheduler's tasks run elsewhere: what they leave must be where everybody finds it."""
    kind = str(setting("DEFAULT_DATASTORE") or "local")
    if kind not in good:
        message = f"Metaflow's datastore is {kind}, and a task on {title} could leave nothing there"
        hint = (
            "set METAFLOW_DEFAULT_DATASTORE=s3 and METAFLOW_DATASTORE_SYSROOT_S3=s3://BUCKET/PREFIX, or: metaflow configure aws"
        )
        return [InputError("not-deployable", message, hint=hint)]
    if not setting(f"DATASTORE_SYSROOT_{kind.upper()}"):
        hint = f"set METAFLOW_DATASTORE_SYSROOT_{kind.upper()}"
        return [InputError("not-deployable", f"Metaflow's datastore is {kind}, without a place in it", hint=hint)]
    return []


def carrying_problems(settings: Settings, wanted: Sequence[Wanted]) -> list[DbtFlowError]:
    """What a task elsewhere could not use of a DAG's state and profile: told when planning, not after half of the fleet."""
    found: dict[str, DbtFlowError] = {}
    for one in wanted:
        if one.dag is None:
            continue
        job = Job.of(settings, one.dag)
        try:
            refused = [*state_refusals(job), *profile_refusals(job, profiles_file(job))]
        except DbtFlowError as error:
            refused = [error]
        found.update({str(error): error for error in refused})
    return list(found.values())


def image_problems(settings: Settings, wanted: Sequence[Wanted], name: str, title: str) -> list[DbtFlowError]:
    """Metaflow's own image has neither dbt nor its adapter: a DAG's task would not even begin."""
    dag = next((one for one in wanted if one.kind == "dag"), None)
    if dag is None or setting(name) or settings.destinations.remote.image:
        return []
    message = f"tasks on {title} would run in Metaflow's default image, which has neither dbt nor dbt-flow"
    hint = (
        f"build an image with dbt-flow and your adapter; write remote: {{image: NAME}} in dbt_flow.yml, or set METAFLOW_{name}"
    )
    return [InputError("not-deployable", message, hint=hint)]


def missing(names: Mapping[str, str], wanted: Sequence[Wanted]) -> list[DbtFlowError]:
    """Settings that some of the flows need: told once, with the first flow's place."""
    place = wanted[0].place if wanted else None
    return [
        InputError("not-deployable", f"{what} is not set", place=place, hint=f"set METAFLOW_{name}")
        for name, what in names.items()
        if wanted and not setting(name)
    ]
