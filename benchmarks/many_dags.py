"""A folder of DAGs over one large project, compiled in one go: CPU seconds after the one parse.

``python benchmarks/many_dags.py --models 5000 --dags 100``
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from layers import Shape, write

from dbt_flow.pipeline.prepare import parse_fleet, plan_of
from dbt_flow.settings import load_settings
from dbt_flow.spec import load_fleet


def main() -> None:
    """Write the project and the DAGs, parse, plan each DAG, and say what it cost."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--models", type=int, default=5000)
    words.add_argument("--dags", type=int, default=100)
    said = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        write(root / "dbt_project", Shape(models=said.models, layers=10, tests=1.4))
        (root / "dbt_flow.yml").write_text("dbt_projects: [dbt_project]\n", encoding="utf-8")
        (root / "dags").mkdir()
        for number in range(said.dags):
            model = f"m_{number * said.models // said.dags:04d}"
            (root / "dags" / f"dag_{number:03d}.yaml").write_text(f"owner: bench\nselect: +{model}+2\n", encoding="utf-8")
        settings = load_settings(start=root)
        began = time.process_time()
        fleet = load_fleet(settings)
        read = time.process_time()
        parsed = list(parse_fleet(settings, fleet.dags, []))
        after_parse = time.process_time()
        nodes = sum(len(plan_of(job, project).plan.nodes) for job, project in parsed)
        planned = time.process_time()
    print(f"{len(fleet.dags)} DAGs over {said.models} models, {nodes} planned nodes")
    print(f"CPU s: reading {read - began:.1f}, import and parse {after_parse - read:.1f}, the rest {planned - after_parse:.1f}")


if __name__ == "__main__":
    main()
