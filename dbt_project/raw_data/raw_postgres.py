"""Load the raw tables into PostgreSQL, where the profile's target ``postgres`` reads them."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg2
from raw_tables import LOADED_AT, SCHEMAS

TYPES = {"VARCHAR": "text"}
"""PostgreSQL's names of types, where they are others than DuckDB's."""


def connect() -> psycopg2.extensions.connection:
    """With the variables that ``profiles.yml`` reads."""
    said = os.environ.get
    return psycopg2.connect(
        host=said("FREIGHT_POSTGRES_HOST", "localhost"),
        port=int(said("FREIGHT_POSTGRES_PORT", "5432")),
        user=said("FREIGHT_POSTGRES_USER", "freight"),
        password=said("DBT_ENV_SECRET_FREIGHT_POSTGRES_PASSWORD", ""),
        dbname=said("FREIGHT_POSTGRES_DATABASE", "freight"),
    )


def load_postgres(folder: Path, absent: set[str]) -> str:
    """Replace the tables of schema raw by the CSV files in one transaction; gives where they are.

    A table that is there is emptied and not dropped: dbt's views stand on it.
    """
    connection = connect()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("create schema if not exists raw")
            for name, columns in SCHEMAS.items():
                if name in absent:
                    cursor.execute(f"drop table if exists raw.{name} cascade")
                    continue
                kinds = {**columns, LOADED_AT: "TIMESTAMP"}
                typed = ", ".join(f"{column} {TYPES.get(kind, kind)}" for column, kind in kinds.items())
                cursor.execute(f"create table if not exists raw.{name} ({typed})")
                cursor.execute(f"truncate raw.{name}")
                with (folder / f"{name}.csv").open(encoding="utf-8") as file:
                    cursor.copy_expert(f"copy raw.{name} from stdin with (format csv, header true, null '')", file)
        return f"PostgreSQL, database {connection.info.dbname}"
    finally:
        connection.close()
