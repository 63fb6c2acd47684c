"""What one writes by hand: three Metaflow steps, dbt called as a library in the middle one. Runs in the project's folder.

No card, no record, no retry by node, no plan: the floor of running dbt under Metaflow. ``BENCH_SELECT`` is what to build, or
empty. Counted: everything.
"""

import os

from metaflow import FlowSpec, step


class BuildByHand(FlowSpec):
    """Build the project in a step."""

    @step
    def start(self):
        """Nothing yet."""
        self.next(self.build)

    @step
    def build(self):
        """Build, and fail as dbt fails."""
        from dbt.cli.main import dbtRunner  # noqa: PLC0415 - only this step needs it

        select = os.environ.get("BENCH_SELECT", "").split()
        words = ["build", "--quiet", "--profiles-dir", ".", *(["--select", *select] if select else [])]
        found = dbtRunner().invoke(words)
        if not found.success:
            raise RuntimeError("dbt build failed") from found.exception
        self.next(self.end)

    @step
    def end(self):
        """The end."""


if __name__ == "__main__":
    BuildByHand()
