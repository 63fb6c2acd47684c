"""dagster-dbt, assets of a project materialized in this process: ``run_dagster.py FOLDER SELECT``.

Counted: imports, the assets made from the manifest, one ``dbt build`` beside this process, and its events as Dagster's. Not
counted, as Dagster's docs have it made once, when a project is deployed: the manifest.
"""

import os
import sys
from pathlib import Path

from dagster import AssetExecutionContext, materialize
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it starts dbt by name
folder, select = Path(sys.argv[1]), sys.argv[2]
project = DbtProject(project_dir=folder, profiles_dir=folder)
if not project.manifest_path.exists():
    project.preparer.prepare(project)


@dbt_assets(manifest=project.manifest_path, select=select or "fqn:*")
def models(context: AssetExecutionContext, dbt: DbtCliResource):
    """Every model and test of the project."""
    yield from dbt.cli(["build"], context=context).stream()


result = materialize([models], resources={"dbt": DbtCliResource(project_dir=project, profiles_dir=str(folder))})
sys.exit(0 if result.success else 1)
