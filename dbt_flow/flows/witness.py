"""The launcher of a local run notes that it has begun, so that it is told however early all of it is killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from metaflow import current

from dbt_flow.errors import DbtFlowError
from dbt_flow.pipeline.job import Job
from dbt_flow.state.begun import note_begun, unheard

_LOOK_EVERY = 0.02  # seconds between looks at whether Metaflow has made the run


def note_the_run(config: Mapping[str, Any]) -> None:
    """As soon as Metaflow has made the run, note it: should all its processes be killed now, the next reader settles it.

    It is such a reader itself, of the DAG's earlier runs.
    """

    def watch() -> None:
        while getattr(current, "run_id", None) is None:
            time.sleep(_LOOK_EVERY)
        job = Job.from_dict(config)
        facts = {
            "flow": job.dag.flow_name,
            "owner": job.dag.owner,
            "owner_contact": dict(job.owner_contact),
            "description": job.dag.description,
            "trigger": job.options.trigger or "by hand",
            "telling": dict(job.telling),
        }
        with suppress(DbtFlowError, OSError):  # a state folder that cannot be written is told by what must be written
            note_begun(job.store, job.dag.name, f"{job.dag.flow_name}/{current.run_id}", facts)
            if unheard(job.store, job.dag.name)[0]:
                from dbt_flow.pipeline.unheard import settle_unheard  # loads the card's side, when a run has died

                settle_unheard(job.store, job.dag.name)

    threading.Thread(target=watch, name="dbt-flow-note", daemon=True).start()
