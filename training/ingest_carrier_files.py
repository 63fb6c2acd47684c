"""Fetch the third party's carrier files and put them into the raw schema: all of a file, or none of it.

    CARRIER_FILES_URL=https://files.example/v1 python training/ingest_carrier_files.py run

The DAGs that read them start when this flow has ended well; when a file is late, empty or half there it ends badly, and the
tables of yesterday stay as they are.
"""

import os
import runpy
from pathlib import Path

from metaflow import FlowSpec, Parameter, project, retry, schedule, step

HERE = Path(__file__).resolve().parent


@project(name="freight")
@schedule(cron="30 5 * * ? *", timezone="America/Chicago")
class IngestCarrierFiles(FlowSpec):
    """Fetches every page of every file, checks them, and replaces the raw tables in one transaction."""

    url = Parameter("url", default=os.environ.get("CARRIER_FILES_URL", ""), help="Where the files are. [CARRIER_FILES_URL]")
    files = Parameter("files", default="fuel_prices", help="Names of files, with commas: raw tables of the same names.")
    patience = Parameter("patience", type=float, default=900.0, help="Seconds to wait for a file that is late.")

    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        """Fetch and check: nothing is written yet."""
        from paged_files import fetch

        if not self.url:
            raise ValueError("no URL: set CARRIER_FILES_URL, or give --url")
        self.deliveries = {name: fetch(self.url, name, self.patience) for name in self.files.split(",")}
        for name, delivery in self.deliveries.items():
            print(f"{name}: {len(delivery.rows):,} rows in {len(delivery.pages)} pages, as of {delivery.as_of}")
        self.next(self.end)

    @retry(times=1, minutes_between_retries=0)
    @step
    def end(self):
        """Replace the tables, all of them or none."""
        from paged_files import replace_tables

        project_folder = Path(os.environ.get("DBT_FLOW_ROOT", HERE.parent)) / "dbt_project"
        schemas = runpy.run_path(str(project_folder / "raw_data" / "raw_tables.py"))["SCHEMAS"]
        database = project_folder / os.environ.get("FREIGHT_DUCKDB_PATH", "freight.duckdb")
        self.rows = replace_tables(database, self.deliveries, schemas, f"IngestCarrierFiles ({', '.join(self.deliveries)})")
        print(self.rows)


if __name__ == "__main__":
    IngestCarrierFiles()
