"""Make the raw data of the freight example and load it into DuckDB, PostgreSQL or Snowflake.

    python dbt_project/raw_data/generate.py                       # today's extract
    python dbt_project/raw_data/generate.py --as-of 2026-11-20    # the same bytes every time
    python dbt_project/raw_data/generate.py --break not_null      # see what a failure blocks
    python dbt_project/raw_data/generate.py --target postgres     # into PostgreSQL, or snowflake; few rows with --scale 0.02

Two years of a trucking marketplace up to (not including) the as-of date, with fraud
rings in it. The data as of the next day is the same data plus a day.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import duckdb
from freight_registry import add_fuel_prices, add_registry, add_shippers
from freight_traffic import Month
from freight_world import World, at, month_of
from raw_faults import FAULTS, inject, loaded_at, missing
from raw_tables import LOADED_AT, SCHEMAS, Tables, empty_tables

PROJECT = Path(__file__).resolve().parent.parent
HISTORY_MONTHS = 24
KEPT_MONTHS = 12  # carriers that left stay listed this long before the first load


def default_database() -> Path:
    """The file the dbt profile opens when dbt runs in the project's folder."""
    return PROJECT / os.environ.get("FREIGHT_DUCKDB_PATH", "freight.duckdb")


def build_tables(as_of: date, seed: int, scale: float) -> Tables:
    """All raw rows as of a date, without the load timestamp."""
    world, tables = World(seed, scale), empty_tables()
    last = month_of(as_of)
    first = last - HISTORY_MONTHS
    carriers = world.carriers(first - KEPT_MONTHS, last)
    add_registry(tables, world, carriers, as_of)
    add_shippers(tables["shippers"], world)
    add_fuel_prices(tables["fuel_prices"], world, first, as_of)
    for month in range(first, last + 1):
        Month(world, month, carriers, as_of).add_to(tables)
    return tables


def write_csv(tables: Tables, folder: Path, landed: datetime, faults: list[str]) -> None:
    """One CSV file per table. An empty field is a null."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        stamp = loaded_at(name, faults, landed)
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*SCHEMAS[name], LOADED_AT])
            writer.writerows((*row, stamp) for row in rows)


def load(database: Path, folder: Path, absent: set[str]) -> None:
    """Replace the tables of schema raw in one transaction: all of them or none."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(database)) as connection:
        connection.begin()
        connection.execute("create schema if not exists raw")
        for name, columns in SCHEMAS.items():
            if name in absent:
                connection.execute(f"drop table if exists raw.{name}")
                continue
            typed = ", ".join(f"'{column}': '{kind}'" for column, kind in (*columns.items(), (LOADED_AT, "TIMESTAMP")))
            source = str(folder / f"{name}.csv").replace("'", "''")
            connection.execute(
                f"create or replace table raw.{name} as select * from read_csv("
                f"'{source}', header = true, nullstr = '', columns = {{{typed}}})"
            )
        connection.commit()


def _load(target: str, database: Path, folder: Path, absent: set[str]) -> str:
    """Load the files for a target of the profile; gives where they are now.

    :raises ConnectionError: PostgreSQL or Snowflake does not let us in, or not do it.
    """
    if target == "dev":
        load(database, folder, absent)
        return str(database)
    if target == "snowflake":
        from raw_snowflake import load_snowflake  # noqa: PLC0415

        return load_snowflake(PROJECT, folder, absent)
    import psycopg2  # noqa: PLC0415 - only for who has the extra
    from raw_postgres import load_postgres  # noqa: PLC0415

    try:
        return load_postgres(folder, absent)
    except psycopg2.Error as error:
        raise ConnectionError(f"{str(error).strip()}\nSet FREIGHT_POSTGRES_HOST, _PORT, _USER, _DATABASE.") from error


@contextmanager
def csv_folder(wanted: Path | None) -> Iterator[Path]:
    """The folder asked for, or one that is gone afterwards."""
    if wanted is not None:
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="freight-raw-") as folder:
        yield Path(folder)


def fault_list(text: str) -> list[str]:
    """Split and check the value of --break."""
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in FAULTS:
            raise argparse.ArgumentTypeError(f"unknown fault '{kind}'; known: {', '.join(FAULTS)}")
    return kinds


def timestamp(text: str) -> datetime:
    """An ISO time; with an offset it is turned into UTC."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment.astimezone(timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    faults = "\n".join(f"  {kind:14} {text}" for kind, (text, _) in FAULTS.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"kinds of --break (several with commas):\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--duckdb", type=Path, metavar="PATH", help="[FREIGHT_DUCKDB_PATH, else dbt_project/freight.duckdb]")
    add(
        "--target",
        choices=("dev", "postgres", "snowflake"),
        default="dev",
        help="the profile's target to load for [dev, on DuckDB]",
    )
    add("--as-of", type=date.fromisoformat, metavar="DATE", help="first day not in the data [today, UTC]")
    add("--loaded-at", type=timestamp, metavar="TS", help="value of _loaded_at, UTC [05:00 on the as-of date]")
    add("--seed", type=int, default=7, metavar="N", help="another number is another world [7]")
    add("--scale", type=float, default=1.0, metavar="X", help="1 is about 35,000 loads [1]")
    add("--csv", type=Path, metavar="DIR", help="also keep the CSV files in this folder")
    add("--break", dest="faults", type=fault_list, default=[], metavar="KIND,...", help="inject broken rows")
    return parser.parse_args(arguments)


def main() -> int:
    """Generate, write, load, and say what was done."""
    options, started = parse_arguments(), time.monotonic()
    as_of = options.as_of or datetime.now(timezone.utc).date()
    landed = options.loaded_at or at(as_of) + timedelta(hours=5)
    database = options.duckdb or default_database()
    tables = build_tables(as_of, options.seed, options.scale)
    inject(tables, options.faults)
    try:
        with csv_folder(options.csv) as folder:
            write_csv(tables, folder, landed, options.faults)
            where = _load(options.target, database, folder, missing(options.faults))
    except duckdb.IOException as error:
        print(f"cannot write {database}: {error}\nClose whatever has the file open, then try again.", file=sys.stderr)
        return 1
    except ConnectionError as error:
        print(f"cannot load for target {options.target}: {error}", file=sys.stderr)
        return 1
    for name, rows in tables.items():
        print(f"{len(rows):>9,}  raw.{name}")
    broken = f", broken: {', '.join(options.faults)}" if options.faults else ""
    print(f"as of {as_of} into {where} in {time.monotonic() - started:.1f} s{broken}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
