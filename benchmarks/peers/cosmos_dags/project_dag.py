"""An Airflow DAG of the project, by Cosmos; ``run_cosmos.py`` says how it is set up and what is counted."""

import os
from datetime import datetime
from pathlib import Path

from cosmos import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestBehavior

folder = Path(os.environ["BENCH_PROJECT"])
watcher = os.environ["BENCH_MODE"] == "watcher"

project_dag = DbtDag(
    dag_id="project",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    project_config=ProjectConfig(folder, manifest_path=folder / "target" / "manifest.json", install_dbt_deps=False),
    profile_config=ProfileConfig(profile_name="layers", target_name="dev", profiles_yml_filepath=folder / "profiles.yml"),
    execution_config=ExecutionConfig(
        execution_mode=ExecutionMode.WATCHER if watcher else ExecutionMode.LOCAL,
        invocation_mode=InvocationMode.DBT_RUNNER,
    ),
    render_config=RenderConfig(
        load_method=LoadMode.DBT_MANIFEST,
        test_behavior=TestBehavior.AFTER_EACH if watcher else TestBehavior.BUILD,  # what each of the modes offers
        select=os.environ["BENCH_SELECT"].split(),
        emit_datasets=False,
    ),
    # Without a scheduler priorities do not count: the watchers wait for the one that builds by a rule, as in Cosmos' own tests.
    operator_args={"should_store_compiled_sql": False, **({"trigger_rule": "all_success"} if watcher else {})},
)
