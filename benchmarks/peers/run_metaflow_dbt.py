"""metaflow-dbt: its decorator on the one step of a flow, a ``dbt build`` in a process of its own. Runs in the project's folder.

Its other form, a step per model, one after the other, is what ``metaflow dbt generate`` writes; it leaves tests out.
``BENCH_SELECT`` is what to build, or empty. Counted: everything.
"""

import os

from metaflow import FlowSpec, dbt, step


class BuildByDecorator(FlowSpec):
    """Build the project before the one step begins."""

    @dbt(command="build", select=os.environ.get("BENCH_SELECT", "").split() or None)
    @step
    def start(self):
        """Nothing is left to do."""
        self.next(self.end)

    @step
    def end(self):
        """The end."""


if __name__ == "__main__":
    BuildByDecorator()
