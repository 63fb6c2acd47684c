"""prefect-dbt's runner on a project: ``run_prefect.py FOLDER [SELECT]``."""

import os
import sys

from prefect import flow
from prefect_dbt import PrefectDbtRunner, PrefectDbtSettings

folder, select = sys.argv[1], sys.argv[2]
os.chdir(folder)


@flow
def build() -> None:
    """Build the project as one flow."""
    words = ["build", *(["--select", *select.split()] if select else [])]
    PrefectDbtRunner(settings=PrefectDbtSettings(project_dir=folder, profiles_dir=folder)).invoke(words)


build()
