"""Runs on other machines: when a flow's steps go there, what travels with them, and which decorators they need.

A launch or a deployment is *far* when its steps run elsewhere: ``run --with kubernetes``, ``run --with batch``,
``argo-workflows create``, ``step-functions create``, and ``package`` (which shows what would travel). Then, and only then,
dbt is asked for the project by the process that launches, and :mod:`dbt_flow.pipeline.carrying` gathers what travels.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from metaflow import environment, secrets
from metaflow.packaging_sys import ContentType

import dbt_flow
from dbt_flow.pipeline.job import Job
from dbt_flow.run.recorder import Feed

DEPLOYS: Mapping[str, str] = {"argo-workflows": "kubernetes", "step-functions": "batch"}
"""Schedulers, each with Metaflow's decorator that its steps bear."""
COMPUTE = ("kubernetes", "batch")
DECOSPECS = "METAFLOW_DECOSPECS"
"""Metaflow's own variable for what ``--with`` says."""
_HERE = Path(sys.argv[0]).absolute().parent / "carried"
"""What travelled, in a task that runs from a code package."""
_NOT_CODE = (".pyc", ".pyo")

_gathered: list[Path] = []
"""The folder with what travels, once it is gathered in this process."""


def far(words: Sequence[str] | None = None, variables: Mapping[str, str] = os.environ) -> str | None:
    """What the steps of this launch run on, ``kubernetes`` or ``batch``; ``package`` when it is only shown; None for here.

    :param words: the command line; this process's by default.
    """
    words = sys.argv[1:] if words is None else words
    for command, compute in DEPLOYS.items():
        if command in words and "create" in words[words.index(command) :]:
            return compute
    if "package" in words and "step" not in words:
        return "package"
    if not {"run", "resume"} & {*words}:
        return None
    found = [after for word, after in pairwise(words) if word == "--with"]
    found += [word.partition("=")[2] for word in words if word.startswith("--with=")]
    found += variables.get(DECOSPECS, "").split()
    return next((kind for kind in COMPUTE for spec in found if spec.partition(":")[0] == kind), None)


def carry(job: Job) -> None:
    """Gather what travels, when steps run elsewhere.

    :raises DbtFlowError: what a task elsewhere could not use, or a secret that would travel.
    """
    if far() and not _gathered:
        from dbt_flow.pipeline.carrying import gather

        feed = Feed.from_environment()
        _gathered.append(gather(job, lambda text: feed.tell("phase", text=text)))


def contents() -> Iterator[tuple[str, str, Any]]:
    """What a mutator's ``add_to_package`` gives: dbt-flow itself, and what was gathered."""
    if not _gathered:
        return
    package = Path(dbt_flow.__file__).parent
    for file in sorted(package.rglob("*")):  # the card is an extension of Metaflow's, and travels as such
        if file.is_file() and not file.name.endswith(_NOT_CODE):
            yield str(file), f"dbt_flow/{file.relative_to(package).as_posix()}", ContentType.CODE_CONTENT
    from dbt_flow.pipeline.carrying import travelling

    for file, name in travelling(_gathered[0]):
        yield str(file), name, ContentType.USER_CONTENT


def _there() -> str:
    """What a task runs on that runs from a code package."""
    marks = {"METAFLOW_KUBERNETES_WORKLOAD": "kubernetes", "AWS_BATCH_JOB_ID": "batch"}
    return next((kind for mark, kind in marks.items() if mark in os.environ), "package")


def add_far_decorators(mutable_step: Any, remote: Mapping[str, Any]) -> None:
    """Give a step what ``remote`` in ``dbt_flow.yml`` says: its image, its secrets, its variables; there as here."""
    kind = far() or (_there() if _HERE.exists() else None)
    if kind is None:
        return
    if remote.get("secrets"):
        mutable_step.add_decorator(secrets, deco_kwargs={"sources": list(remote["secrets"])})
    values = {name: os.environ[name] for name in remote.get("variables") or () if name in os.environ}
    if values:
        mutable_step.add_decorator(environment, deco_kwargs={"vars": values})
    if kind in COMPUTE and remote.get("image"):
        said: Mapping[str, Any] = next((kwargs for name, _, _, kwargs in mutable_step.decorator_specs if name == kind), {})
        own = {key: value for key, value in said.items() if value is not None}
        mutable_step.add_decorator(kind, deco_kwargs={"image": remote["image"], **own}, duplicates=mutable_step.OVERRIDE)
