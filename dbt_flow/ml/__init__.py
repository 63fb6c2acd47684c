"""For flows that train on what DAGs build: ``from dbt_flow.ml import needs, dbt``.

- :class:`needs` on a flow: what it reads, and how good that must be. In the flow ``self.receipts`` reads it.
- :class:`dbt` on a step: builds models before the step's body, with the same plan, card, receipt and never-green rule as a DAG.
- :func:`receipt` reads the receipt of a run: which code on which data made which tables.
- :func:`note_model` and :func:`note_deployment` write down what became of it, for ``dbt-flow trace``.
"""

from dbt_flow.ml.dbt_steps import dbt
from dbt_flow.ml.needed import needs
from dbt_flow.ml.notes import note_deployment, note_model
from dbt_flow.ml.receipts import receipt

__all__ = ["dbt", "needs", "note_deployment", "note_model", "receipt"]
