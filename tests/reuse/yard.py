"""A small dbt project in which everything that ``reuse`` has a rule for can be edited, and two ways to run it.

:func:`reusing` goes the way of a run with ``reuse: unchanged`` (prepare, decide, build, keep evidence) in this process, without
Metaflow. :func:`full` builds the same selection with nothing reused, in a copy of the database: what :func:`tables` shows of
the two must be equal.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
from dbt.cli.main import dbtRunner
from projects import PROJECT, write

from dbt_flow.pipeline.job import Job, Options
from dbt_flow.pipeline.prepare import prepare, target_folder
from dbt_flow.pipeline.reusing import judge_reuse, keep_made
from dbt_flow.plan.decide import decide
from dbt_flow.plan.planned import Decision
from dbt_flow.project.place import working_in
from dbt_flow.run.engine import Build, Engine
from dbt_flow.run.hooks import Hooks
from dbt_flow.run.lock import database_lock
from dbt_flow.run.recorder import Feed, Recorder
from dbt_flow.spec import Dag

PROFILE = """
yard:
  target: dev
  outputs:
    dev: {type: duckdb, path: dev/yard.duckdb, threads: 2}
    full: {type: duckdb, path: full/yard.duckdb, threads: 2}
"""

MACROS = """
{% macro bump(column) %}{{ column }} + BUMP{% endmacro %}
{% macro only_later(column) %}{{ column }} >= LATER{% endmacro %}
{% macro quietly(column) %}{{ return(adapter.dispatch('quietly')(column)) }}{% endmacro %}
{% macro default__quietly(column) %}{{ column }} * QUIET{% endmacro %}
{% macro unused() %}UNUSED{% endmacro %}
"""

SCHEMA = """
sources:
  - name: raw
    schema: raw
    tables: [{name: a}, {name: b}]
models:
  - {name: stage_a, columns: [{name: id, data_tests: [not_null]}]}
  - {name: facts, columns: [{name: id, data_tests: [not_null]}]}
  - {name: top, columns: [{name: id, data_tests: [not_null, {relationships: {arguments: {to: ref('facts'), field: id}}}]}]}
unit_tests:
  - name: sums
    model: top
    given: [{input: ref('facts'), rows: [{id: 1, value: 2}]}, {input: ref('slowly'), rows: []}]
    expect: {rows: [{id: 1}]}
"""

SNAPSHOTS = """
# Not beside models: when a macro changes, dbt 1.11's partial parse loses the tests of a file that holds a snapshot, too.
snapshots:
  - name: history
    relation: ref('facts')
    config: {strategy: check, unique_key: id, check_cols: [value]}
"""

MODELS: Mapping[str, str] = {
    "stage_a": "{{ config(materialized='view') }} select id, {{ bump('value') }} as value from {{ source('raw', 'a') }}",
    "stage_b": "{{ config(materialized='ephemeral') }} select id, value + N as value from {{ source('raw', 'b') }}",
    "codes_now": "{{ config(materialized='table') }} select id, {{ quietly('code') }} as code from {{ ref('codes') }}",
    "facts": "{{ config(materialized='table') }} select a.id, a.value + N as value from {{ ref('stage_a') }} a "
    "left join {{ ref('stage_b') }} b using (id) union all select id + 100, value from {{ ref('stage_b') }}",
    "slowly": "{{ config(materialized='incremental', unique_key='id') }} select id, value + {{ var('plus', 0) }} as value "
    "from {{ ref('facts') }}{% if is_incremental() %} where {{ only_later('id') }}{% endif %}",
    "growing": "{{ config(materialized='incremental') }} select id, value from {{ source('raw', 'b') }}"
    "{% if is_incremental() %} where id > (select coalesce(max(id), 0) from {{ this }}){% endif %}",
    "piling": "{{ config(materialized='incremental') }} select id from {{ source('raw', 'b') }}",
    "top": "{{ config(materialized='table') }} with f as (select id from {{ ref('facts') }} group by 1) "
    "select f.id from f left join {{ ref('slowly') }} s using (id)",
    "beside": "{{ config(materialized='table') }} select count(*) as n, N as m from {{ ref('codes_now') }}",
    "strange": "{{ config(materialized='table') }} select * from outside.loose",
    "over_strange": "{{ config(materialized='view') }} select * from {{ ref('strange') }} where N = N",
    "later": "{{ config(materialized='table') }} select id, value, {{ var('label', 0) }} as label from {{ ref('history') }}",
}


@dataclass
class Yard:
    """The project in ``folder``."""

    folder: Path
    numbers: dict[str, int] = field(default_factory=dict)
    """What stands for N in each model."""
    macros: dict[str, int] = field(default_factory=lambda: {"BUMP": 0, "LATER": 0, "QUIET": 1, "UNUSED": 0})
    kinds: dict[str, str] = field(default_factory=dict)
    """Models whose materialization was changed."""
    vars: dict[str, Any] = field(default_factory=dict)
    codes: dict[int, int] = field(default_factory=lambda: {1: 10, 2: 20})
    hooks: list[str] = field(default_factory=list)
    runs: int = 0

    def __post_init__(self) -> None:
        self.write()
        with self.database() as open_:
            open_.execute("create schema raw; create schema outside; create table outside.loose as select 1 as x")
            open_.execute("create table raw.a as select range as id, range * 10 as value from range(1, 4)")
            open_.execute("create table raw.b as select range as id, range * 7 as value from range(1, 5)")

    def write(self) -> None:
        """Write every file as it is now."""
        macros = MACROS
        for name, number in self.macros.items():
            macros = macros.replace(name, str(number))
        files = {
            "profiles.yml": PROFILE,
            "macros/all.sql": macros,
            "models/all.yml": SCHEMA,
            "snapshots/history.yml": SNAPSHOTS,
        }
        files["seeds/codes.csv"] = "id,code\n" + "".join(f"{key},{code}\n" for key, code in self.codes.items())
        for name, code in MODELS.items():
            text = code.replace("N", str(self.numbers.get(name, 0)))
            kind = "view" if "materialized='view'" in code else "table"
            text = text.replace(f"materialized='{kind}'", f"materialized='{self.kinds.get(name, kind)}'")
            files[f"models/{name}.sql"] = text + "\n"
        project = {**PROJECT, "name": "yard", "profile": "yard", "on-run-start": self.hooks}
        write(self.folder, {**files, "dbt_project.yml": project})
        for name in ("dev", "full"):
            (self.folder / name).mkdir(exist_ok=True)

    def database(self, target: str = "dev") -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self.folder / target / "yard.duckdb"))

    def sql(self, statement: str) -> None:
        with self.database() as open_:
            open_.execute(statement)

    def dbt(self, *words: str) -> None:
        """Plain dbt, behind our back."""
        said = [
            "--project-dir",
            str(self.folder),
            "--profiles-dir",
            str(self.folder),
            "--quiet",
            "--log-path",
            str(self.folder / "l"),
        ]
        with self.locked("dev"), working_in(self.folder):
            assert dbtRunner().invoke([*words, *said, "--vars", str(self.vars)]).exception is None

    def locked(self, target: str) -> AbstractContextManager[None]:
        """As in a run: dbt's adapter lets go of the file at the end."""
        return database_lock(self.folder / target / "yard.duckdb", "a test", lambda _: None)

    # ---- runs

    def reusing(self, select: str = "*", dag: str = "yard", **options: str) -> dict[str, Decision]:
        """A run with ``reuse: unchanged``; gives its decisions by name."""
        return self._run(select, "dev", dag, "unchanged", Options(target="dev", **options))

    def full(self, select: str = "*") -> None:
        """The same selection with nothing reused, in a copy of the database."""
        self._run(select, "full", "other", "off", Options(target="full"))

    def copy(self) -> None:
        shutil.copyfile(self.folder / "dev/yard.duckdb", self.folder / "full/yard.duckdb")

    def both(self, select: str = "*", dag: str = "yard") -> dict[str, Decision]:
        """A reusing run and a full one from the same state; what they leave must be equal."""
        self.copy()
        decided = self.reusing(select, dag)
        self.full(select)
        assert self.tables("dev") == self.tables("full"), {name: str(each) for name, each in decided.items()}
        return decided

    def _run(self, select: str, target: str, dag_name: str, reuse: str, options: Options) -> dict[str, Decision]:
        keys = {"owner": "x", "select": select, "vars": self.vars, "reuse": reuse}
        dag = Dag.from_dict({"version": 1, "name": dag_name, "file": "x.yaml", "keys": keys, "places": {}})
        state = self.folder / ".dbt_flow"
        job = Job(dag, self.folder, "yard", self.folder, state, profiles_dir=self.folder, options=options)
        with target_folder(job) as folder, self.locked(target):
            prepared = prepare(job, folder, lambda _: None)
            judged = judge_reuse(prepared, decide(prepared.plan), dag.vars, lambda _: None)
            to_run = frozenset(each.id for each in judged.decisions if each.decision == "run")
            recorder = Recorder(0, Feed(None))
            recorder.watch(to_run, None)  # type: ignore[arg-type]
            inlined = frozenset(node.id for node in prepared.plan.inlined)
            order = Build(
                manifest=prepared.parsed.manifest,
                arguments=tuple(prepared.parsed.arguments()),
                selection=(),
                nodes=to_run | inlined if to_run else frozenset(),
                whole=False,
                folder=self.folder,
                graph=prepared.parsed.graph,
                hooks=None if to_run else Hooks(),
            )
            outcome = Engine(recorder).build(order)
            assert outcome.error is None, outcome.error
            self.runs += 1
            results, _ = recorder.snapshot()
            keep_made(judged, to_run, results, f"Yard/{self.runs}")
            self.results = {prepared.plan.by_id[node].name: result for node, result in results.items()}
        return {prepared.plan.by_id[each.id].name: each for each in judged.decisions}

    def tables(self, target: str) -> dict[str, Any]:
        """Everything that dbt has built, by name: kind, columns, rows in any order. Times of snapshots are left out."""
        found: dict[str, Any] = {}
        with self.database(target) as open_:
            listed = open_.execute("select table_name, table_type from information_schema.tables where table_schema = 'main'")
            for name, kind in listed.fetchall():
                try:
                    rows = open_.execute(f'select * from main."{name}"')
                except duckdb.Error:  # a view whose table was dropped, and which this selection does not build
                    found[name] = (kind, "cannot be read")
                    continue
                columns = [column[0] for column in rows.description]
                drop = {"dbt_valid_to", "dbt_valid_from", "dbt_updated_at", "dbt_scd_id"}
                kept = [index for index, column in enumerate(columns) if column not in drop]
                ended = [index for index, column in enumerate(columns) if column == "dbt_valid_to"]
                lines = [([row[at] for at in kept], [row[at] is None for at in ended]) for row in rows.fetchall()]
                found[name] = (kind, columns, sorted(map(repr, lines)))
        return found


Edit = Callable[[Yard, random.Random], str]


def _code(yard: Yard, draw: random.Random) -> str:
    name = draw.choice([name for name, text in MODELS.items() if "N" in text])
    yard.numbers[name] = draw.randint(0, 5)
    return f"code of {name}"


def _macro(yard: Yard, draw: random.Random) -> str:
    name = draw.choice(list(yard.macros))
    yard.macros[name] = draw.randint(0, 5)
    return f"macro {name}"


def _config(yard: Yard, draw: random.Random) -> str:
    name = draw.choice(["codes_now", "beside", "stage_a", "top"])
    yard.kinds[name] = draw.choice(["table", "view"])
    return f"{name} is a {yard.kinds[name]}"


def _var(yard: Yard, draw: random.Random) -> str:
    name = draw.choice(["plus", "label", "nobody"])
    yard.vars[name] = draw.randint(0, 3)
    return f"var {name}"


def _seed(yard: Yard, draw: random.Random) -> str:
    yard.codes[draw.randint(1, 4)] = draw.randint(1, 9)
    return "seed"


def _source(yard: Yard, draw: random.Random) -> str:
    table = draw.choice(["a", "b"])
    change = draw.choice(
        ["insert into raw.{} select max(id) + 1, 5 from raw.{}", "update raw.{} set value = value + 1 where id = 2"]
    )
    yard.sql(change.format(table, table))
    return f"rows of {table}"


def _columns(yard: Yard, draw: random.Random) -> str:
    yard.sql(f"alter table raw.a add column c{draw.randint(0, 10**6)} int")
    return "columns of a"


def _outside(yard: Yard, draw: random.Random) -> str:
    yard.sql(f"insert into outside.loose values ({draw.randint(0, 99)})")
    return "a table that dbt does not know"


def _dropped(yard: Yard, draw: random.Random) -> str:
    with yard.database() as open_:
        listed = open_.execute(
            "select table_name, table_type from information_schema.tables where table_schema = 'main'"
        ).fetchall()
        if listed:
            name, kind = draw.choice(sorted(listed))
            open_.execute(f'drop {"view" if kind == "VIEW" else "table"} main."{name}"')
            return f"dropped {name}"
    return "nothing"


def _by_hand(yard: Yard, draw: random.Random) -> str:
    with yard.database() as open_:
        listed = open_.execute(
            "select table_name from information_schema.columns join information_schema.tables using (table_schema, table_name) "
            "where table_schema = 'main' and table_type = 'BASE TABLE' and column_name = 'value'"
        ).fetchall()
        if listed:
            name = draw.choice(sorted(listed))[0]
            open_.execute(f'update main."{name}" set value = value + 1 where id = 1')
            return f"by hand in {name}"
    return "nothing"


def _plain_dbt(yard: Yard, draw: random.Random) -> str:
    """Plain dbt builds a model with other code, and the file is put back."""
    name = draw.choice(["stage_a", "facts", "codes_now", "beside"])
    before = yard.numbers.get(name, 0), dict(yard.macros)
    yard.numbers[name] = before[0] + 1
    yard.macros["BUMP"] += 1
    yard.write()
    yard.dbt("run", "--select", name)
    yard.numbers[name] = before[0]
    yard.macros.update(before[1])
    return f"plain dbt built another {name}"


def _plain_build(yard: Yard, draw: random.Random) -> str:
    name = draw.choice(["facts", "slowly", "codes", "growing", "history"])
    yard.dbt("build", "--select", f"{name}+")
    return f"plain dbt built {name}+"


EDITS: tuple[Edit, ...] = (
    *(_code, _macro, _config, _var, _seed, _source, _columns, _outside),
    *(_dropped, _by_hand, _plain_dbt, _plain_build, lambda *_: "nothing", lambda *_: "nothing"),
)
SELECTIONS = ("*", "*", "*", "+top", "facts+", "stage_a", "slowly top")
