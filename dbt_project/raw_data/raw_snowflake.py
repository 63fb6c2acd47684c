"""Load the raw tables into Snowflake, where the profile's target ``snowflake`` reads them."""

from __future__ import annotations

from pathlib import Path

import snowflake.connector
from raw_tables import LOADED_AT, SCHEMAS

from dbt_flow.errors import DbtFlowError
from dbt_flow.project.connecting import connected
from dbt_flow.project.place import DbtProject

COPY = """
copy into raw.{name} from @raw.%{name}/{name}.csv force = true purge = true
file_format = (type = csv skip_header = 1 field_optionally_enclosed_by = '"' empty_field_as_null = true)
"""


def load_snowflake(project: Path, folder: Path, absent: set[str]) -> str:
    """Replace the tables of schema raw by the CSV files; gives where they are now.

    The login is the profile's, whatever kind it is of. The files go up first, each to its table's own stage; then one
    transaction empties and fills the tables: all of them or none, and who reads meanwhile sees the old rows.

    :param project: the dbt project with the profile.
    :raises ConnectionError: the login cannot work, or Snowflake refuses.
    """
    try:
        with connected(DbtProject(project, target="snowflake"), "raw data of the example") as connection:
            cursor = connection.cursor()
            cursor.execute("create schema if not exists raw")
            for name, columns in SCHEMAS.items():
                if name in absent:
                    cursor.execute(f"drop table if exists raw.{name}")
                    continue
                typed = ", ".join(f"{column} {kind}" for column, kind in (*columns.items(), (LOADED_AT, "TIMESTAMP")))
                cursor.execute(f"create table if not exists raw.{name} ({typed})")
                file = (folder / f"{name}.csv").absolute().as_posix()
                cursor.execute(f"put 'file://{file}' @raw.%{name} overwrite = true")
            cursor.execute("begin")
            for name in (name for name in SCHEMAS if name not in absent):
                cursor.execute(f"delete from raw.{name}")
                cursor.execute(COPY.format(name=name))
            cursor.execute("commit")
            return f"Snowflake, database {connection.database}"
    except (DbtFlowError, snowflake.connector.Error) as error:
        raise ConnectionError(str(error)) from error
