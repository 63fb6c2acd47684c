"""prefect-dbt on a project: ``run_prefect.py FOLDER SELECT runner|nodes THREADS``.

``runner`` is one dbt whose nodes are shown as tasks. ``nodes`` is a Prefect task per node, tests too, in a pool of as many
worker processes as there are threads; one on DuckDB, whose file one process holds. Neither writes assets.

Counted: imports, the server that Prefect starts for the length of a flow, the flow. Not counted, as it is done once, in the
cold round: making that server's database, and for ``nodes`` the manifest.
"""

import os
import sys

from prefect import flow
from prefect_dbt import PrefectDbtRunner, PrefectDbtSettings
from prefect_dbt.core._orchestrator import ExecutionMode, PrefectDbtOrchestrator

folder, select, mode, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
settings = PrefectDbtSettings(project_dir=folder, profiles_dir=folder)


@flow
def build() -> None:
    """Build the project as one flow."""
    if mode == "runner":
        words = ["build", *(["--select", *select.split()] if select else [])]
        PrefectDbtRunner(settings=settings, disable_assets=True).invoke(words)
        return
    orchestrator = PrefectDbtOrchestrator(
        settings=settings, execution_mode=ExecutionMode.PER_NODE, concurrency=threads, disable_assets=True
    )
    orchestrator.run_build(select=select or None)


if __name__ == "__main__":  # the pool's processes import this file
    os.chdir(folder)
    build()
