"""Deploy a trained model: it replaces the live one, or runs beside it. Starts on the event of a training.

With DEPLOY_WEBHOOK_URL a CI system, or whoever has to know, is told with a POST.
"""

import os
import time

from deploy_webhook import tell
from metaflow import FlowSpec, Parameter, Run, current, namespace, project, step, trigger
from model_registry import Registry, default_registry

from dbt_flow.ml import note_deployment

MODEL = "carrier_risk"
FIELDS = ("version", "kind", "run", "digest")


@project(name="freight")
@trigger(event={"name": "carrier_risk_model_trained", "parameters": {name: name for name in FIELDS}})
class DeployModel(FlowSpec):
    """Takes the model from the training's run, checks it, and switches in one step."""

    version = Parameter("version", required=True, help="Of the model.")
    kind = Parameter("kind", required=True, help="replace or variant.")
    run = Parameter("run", required=True, help="The training's run: TrainCarrierRisk/12.")
    digest = Parameter("digest", required=True, help="Of the model, as the training told it.")
    registry = Parameter("registry", default=default_registry(), help="The folder of deployed models.")

    @step
    def start(self):
        """Fetch and check the model; the event is only a hint where to look."""
        if self.kind not in ("replace", "variant"):
            raise ValueError(f"kind is {self.kind!r}: replace or variant was expected")
        namespace(None)
        deadline = time.monotonic() + 120
        while not Run(self.run).finished and time.monotonic() < deadline:
            time.sleep(0.5)  # the event is sent by the training's last step, a moment before it has ended
        run = Run(self.run)
        if not run.successful:
            raise ValueError(f"{self.run} is not good")
        data = run["end"].task.data
        self.model_bytes = data.model_bytes
        if data.digest != self.digest:
            raise ValueError(f"{self.run} trained {data.digest[:12]}, and the event says {self.digest[:12]}")
        self.metrics = data.metrics
        self.receipts = dict(data.dbt_receipts["tables"])
        self.next(self.end)

    @step
    def end(self):
        """Switch, write it down, tell."""
        stands_on = {table["run"]: table["digest"] for table in self.receipts.values()}
        about = {"version": self.version, "kind": self.kind, "run": self.run, "digest": self.digest, "receipts": stands_on}
        done = Registry(self.registry, MODEL).deploy(self.version, self.model_bytes, {**about, "metrics": self.metrics})
        note_deployment(MODEL, self.version, run=f"{current.flow_name}/{current.run_id}", kind=self.kind, digest=self.digest)
        print(f"{MODEL} {self.version}: {self.kind}" + ("" if done else " (it was deployed before)"))
        url = os.environ.get("DEPLOY_WEBHOOK_URL")
        if url and done:
            trouble = tell(url, {"model": MODEL, **about})
            if trouble:  # the model is live: telling does not undo it
                print(f"nobody was told at DEPLOY_WEBHOOK_URL: {trouble}")


if __name__ == "__main__":
    DeployModel()
