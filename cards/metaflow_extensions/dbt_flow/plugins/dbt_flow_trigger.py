"""``run --with dbt_flow_trigger``: fills ``current.trigger`` in a local run as Metaflow fills it on Argo.

It reads the variables that Argo sets, METAFLOW_ARGO_EVENT_PAYLOAD_<event|run>_<name>, and records the same metadata. Without
them, and on Argo itself, it does nothing. It imports nothing of dbt-flow.
"""

import json
import os

from metaflow import current
from metaflow.decorators import StepDecorator
from metaflow.events import Trigger
from metaflow.metadata_provider import MetaDatum

PREFIX = "METAFLOW_ARGO_EVENT_PAYLOAD_"


class DbtFlowTriggerDecorator(StepDecorator):
    """Fills ``current.trigger`` from the environment."""

    name = "dbt_flow_trigger"

    def task_pre_step(self, step_name, _datastore, metadata, run_id, task_id, *rest):
        """Metaflow calls this before the step's code runs; ``rest`` is flow, graph, retry_count, max_retries, ubf, inputs."""
        _flow, graph, retry_count = rest[:3]
        if "ARGO_WORKFLOW_TEMPLATE" in os.environ:
            return
        triggers = [_trigger(key, text) for key, text in os.environ.items() if key.startswith(PREFIX) and text != "null"]
        if not triggers:
            return
        current._update_env({"trigger": Trigger(triggers)})
        if step_name == graph.start_step:
            tags = [f"attempt_id:{retry_count}"]
            field = "execution-triggers"
            metadata.register_metadata(
                run_id, step_name, task_id, [MetaDatum(field=field, value=json.dumps(triggers), type=field, tags=tags)]
            )


def _trigger(key, text):
    try:
        payload = json.loads(text)
    except ValueError:
        payload = {}
    kind = key[len(PREFIX) :].split("_", 1)[0]
    return {"timestamp": payload.get("timestamp"), "id": payload.get("id"), "name": payload.get("name"), "type": kind}
