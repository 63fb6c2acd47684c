"""A project whose facts lie on days: a microbatch model that can be told to fail on a day, or to take its time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import duckdb
from projects import write
from shop import Ran, Shop

EVENTS = """
{{ config(materialized='view', event_time='happened') }}
select i as id, timestamp '2026-01-01' + interval (i) hour as happened from range(0, 240) t(i)
"""
DAILY = """
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='happened', batch_size='day',
          begin='2026-01-01') }}
select id, happened, '{{ var("as_of", "none") }}' as as_of, '{{ var("region", "all") }}' as region,
  sleep_ms((select cast(content as bigint) from read_text('control/sleep'))) as slept,
  case when strftime(happened, '%d') = (select trim(content) from read_text('control/bad'))
    then cast(error('no ' || id) as varchar) end as fine
from {{ ref('events') }}
"""
FILES: dict[str, Any] = {
    "models/events.sql": EVENTS,
    "models/daily.sql": DAILY,
    "models/plain.sql": "{{ config(materialized='table') }} select 1 as id",
    "models/schema.yml": {"models": [{"name": "daily", "columns": [{"name": "id", "data_tests": ["unique"]}]}]},
    "dbt_flow.yml": "dags: dags\n",
    "dags/daily.yaml": "owner: desk\nselect: events daily\nparams:\n"
    "  as_of: {type: date, default: today}\n  region: {type: str, default: all}\n",
    "dags/by_event_time.yaml": "owner: desk\nselect: events daily\n",
    "dags/plain.yaml": "owner: desk\nselect: plain\n",
    "control/bad": "99",
    "control/sleep": "0",
}


class Days(Shop):
    """The project in a folder, and what is run in it."""

    @classmethod
    def open(cls, folder: Path) -> Days:
        return cls(write(folder, FILES))

    def told(self, name: str, value: str) -> None:
        """From now on: ``bad``, the day of the month on which ``daily`` fails; ``sleep``, milliseconds for a batch."""
        (self.folder / "control" / name).write_text(value)

    def words(self, *words: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "dbt_flow", *words)

    def ask(self, *words: str) -> Ran:
        return self.start(*self.words(*words)).end(within=600)  # several runs, and the machine may be busy

    def rows(self) -> dict[str, tuple[int, str]]:
        """For each day in ``daily``: how many rows, and with which ``as_of``."""
        connection = duckdb.connect(str(self.folder / "shop.duckdb"), read_only=True)
        try:
            found = connection.execute("select happened::date::varchar, count(*), max(as_of) from daily group by 1").fetchall()
        finally:
            connection.close()
        return {day: (count, as_of) for day, count, as_of in found}
