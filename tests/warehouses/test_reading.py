"""What a flow reads of PostgreSQL and of Snowflake, as Arrow and as pandas, through the profile that dbt takes."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers.fakesnow import Snow
from servers.postgres import Database

from dbt_flow.errors import ProjectError
from dbt_flow.ml.readers import TRAVELLERS, open_reader
from dbt_flow.ml.reading import Ask, CannotTravel, Place
from dbt_flow.ml.reading_snowflake import Snowflake
from dbt_flow.project.place import DbtProject

ROWS = "create table dev.loads as select * from (values (1, 'a', 1.50, true), (2, null, 2.25, false)) v (id, name, usd, late)"


def place(folder: Path, output: dict[str, Any]) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (folder / "profiles.yml").write_text(yaml.safe_dump({"shop": {"target": "dev", "outputs": {"dev": output}}}))
    return Place(str(output["type"]), DbtProject(folder, None, "dev"), None, "Train/1 (reads loads)", print)


def test_postgresql_from_one_snapshot(a_database: Callable[[], Database], tmp_path: Path) -> None:
    database = a_database()
    database.sql("create schema dev")
    database.sql(ROWS)
    with open_reader(place(tmp_path, database.output())) as reader:
        found = reader.read(Ask('"dev"."loads"', "select * from {table} order by id", "arrow"))
        assert found.rows == 2
        assert found.data.to_pydict()["name"] == ["a", None]
        names = database.sql("select application_name from pg_stat_activity where datname = %s", database.name)
        assert ("dbt-flow Train/1 (reads loads)",) in names
        some = reader.read(Ask('"dev"."loads"', "select id, usd from {table} where id > 9", "pandas"))
        assert (some.rows, len(some.data), list(some.data.columns)) == (2, 0, ["id", "usd"])
        database.sql("insert into dev.loads values (3, 'c', 3, true)")
        frame = reader.read(Ask('"dev"."loads"', "select * from {table} order by id", "pandas"))
        assert (frame.rows, frame.data["usd"].tolist()) == (3, [1.5, 2.25, 3.0]), "each read sees what is there then"
        assert reader.now() is None
        with pytest.raises(CannotTravel):
            reader.read(Ask('"dev"."loads"', "select * from {table}", "arrow"), as_of="2026-01-01T00:00:00+00:00")


def test_a_login_that_is_refused_is_one_clear_error(a_database: Callable[[], Database], tmp_path: Path) -> None:
    output = a_database().output(user="nobody_here")
    with pytest.raises(ProjectError, match="nobody_here") as refused, open_reader(place(tmp_path, output)):
        pass
    assert refused.value.code == "warehouse"


def test_a_profile_reads_variables_where_no_dbt_has_run(
    a_database: Callable[[], Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_DATABASE", (database := a_database()).name)
    where = place(tmp_path, database.output(dbname="{{ env_var('ACME_DATABASE') }}"))

    def counted() -> int:
        with open_reader(where) as reader:
            return reader.read(Ask("pg_namespace", "select 1 from {table}", "arrow")).rows

    assert Context().run(counted) > 0


def test_snowflake_by_the_real_connector(a_snow: Callable[[], Snow], tmp_path: Path) -> None:
    snow = a_snow()
    snow.sql("create schema dev")
    snow.sql(ROWS)
    relation = f"{snow.database}.dev.loads"
    with open_reader(place(tmp_path, snow.output())) as reader:
        found = reader.read(Ask(relation, "select * from {table} order by id", "arrow"))
        assert (found.rows, found.data.column_names) == (2, ["id", "name", "usd", "late"])
        frame = reader.read(Ask(relation, "select id, usd from {table} order by id", "pandas"))
        assert frame.data["usd"].tolist() == [1.5, 2.25]
        assert str(reader.now())[:2] == "20"
    assert "snowflake" in TRAVELLERS


class Recorded:
    """Snowflake's connection at the edge: fakesnow knows no time travel. Answers, or fails with Snowflake's own number."""

    def __init__(self, errno: int | None = None) -> None:
        self.errno = errno
        self.asked: list[str] = []

    def cursor(self) -> Recorded:
        return self

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def execute(self, sql: str) -> Recorded:
        self.asked.append(sql)
        if self.errno:
            raise type("ProgrammingError", (Exception,), {"errno": self.errno})("no history")
        return self

    def fetchall(self) -> list[tuple[int]]:
        return [(7,)]

    def fetch_arrow_all(self, *, force_return_table: bool) -> Any:
        pyarrow = pytest.importorskip("pyarrow")
        assert force_return_table
        return pyarrow.table({"ID": [1]})


def test_snowflake_as_of_a_moment() -> None:
    known = Recorded()
    moment = "2026-11-21T06:00:00.000000+00:00"
    found = Snowflake(known).read(Ask("A.B.C", "select id from {table}", "arrow"), as_of=moment)
    then = f"A.B.C at (timestamp => '{moment}'::timestamp_tz)"
    assert known.asked == [f"select count(*) from {then}", f"select id from {then}"]
    assert (found.rows, found.data.column_names) == (7, ["id"])
    with pytest.raises(CannotTravel, match=r"no history of A\.B\.C"):
        Snowflake(Recorded(707)).read(Ask("A.B.C", "select id from {table}", "arrow"), as_of=moment)
    with pytest.raises(Exception, match="no history") as other:
        Snowflake(Recorded(606)).read(Ask("A.B.C", "select id from {table}", "arrow"), as_of=moment)
    assert not isinstance(other.value, CannotTravel)
