"""Train the model that ranks carriers by the chance of fraud in the next 90 days.

    python training/train_carrier_risk.py run

``dbt-flow serve`` starts it when what the exposure ``train_carrier_risk`` reads is good. It ends with the event
``carrier_risk_model_trained``, which says whether the model is to replace the live one or to run beside it.
"""

import hashlib
import os
import pickle

from metaflow import FlowSpec, Parameter, card, current, project, retry, step
from model_registry import Registry, default_registry

from dbt_flow.ml import needs, note_model

MODEL = "carrier_risk"
EVENT = "carrier_risk_model_trained"
TABLE = "fct_carrier_risk_features"
MARGIN = 0.02
"""A new model replaces the live one when its average precision on the test months is better by this much."""


@project(name="freight")
@needs(dags=["carrier_risk"], exposure="train_carrier_risk", max_age="24h")
class TrainCarrierRisk(FlowSpec):
    """Reads what is good, splits in time, fits, compares with the live model, tells."""

    registry = Parameter("registry", default=default_registry(), help="The folder of deployed models.")
    test_months = Parameter("test_months", type=int, default=3, help="How many of the last labelled months are for the test.")

    @card(type="html")
    @retry(times=2, minutes_between_retries=0)
    @step
    def start(self):
        """Read, split, fit, measure. A table that is rebuilt while it is read is noticed, and the step done again."""
        from risk_model import fit, measure, report, split

        rows = self.receipts.pandas(TABLE, "select * from {table} where is_label_mature order by carrier_month_id")
        train, test, self.facts = split(rows, self.test_months)
        model = fit(train)
        self.model_bytes = pickle.dumps(model)
        self.digest = hashlib.sha256(self.model_bytes).hexdigest()
        self.metrics, curve = measure(model, test)
        live = Registry(self.registry, MODEL).live()
        self.live_version, self.live_metrics = live and live.version, None
        if live:
            try:
                self.live_metrics = measure(pickle.loads(live.model), test)[0]  # noqa: S301 - its digest was checked
            except ValueError as error:  # the features are others than those it was trained with
                print(f"the live model {live.version} cannot be measured on these rows: {error}")
        self.html = report(self.facts, self.metrics, self.live_metrics, curve, self.receipts)
        self.next(self.end)

    @step
    def end(self):
        """Decide whether it replaces the live model, write down what it stands on, tell."""
        before = self.live_metrics["average_precision"] if self.live_metrics else None
        better = before is not None and self.metrics["average_precision"] >= before + MARGIN
        self.kind = "replace" if self.live_version is None or better else "variant"
        self.version = str(current.run_id)
        run = f"{current.flow_name}/{current.run_id}"
        self.receipt_digests = self.receipts.digests
        note_model(MODEL, self.version, run=run, receipts=self.receipt_digests, digest=self.digest, metrics=self.metrics)
        payload = {"id": self.version, "version": self.version, "kind": self.kind, "run": run, "digest": self.digest}
        print(f"{MODEL} {self.version}: {self.kind}, {self.metrics}")
        if os.environ.get("METAFLOW_ARGO_EVENTS_WEBHOOK_URL"):
            from metaflow.integrations import ArgoEvent

            ArgoEvent(EVENT).publish(payload=payload, ignore_errors=False)
        else:
            words = f"--version {self.version} --kind {self.kind} --run {run} --digest {self.digest}"
            print(f"nobody takes events here; to deploy it: python training/deploy_model.py run {words}")


if __name__ == "__main__":
    TrainCarrierRisk()
