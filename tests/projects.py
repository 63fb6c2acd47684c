"""Small dbt projects on DuckDB for tests: written into a temporary folder, parsed and built by the real dbt.

:func:`write` makes one from a mapping of file names to text. :func:`random_project` makes one from a number: seeds, sources on
seeds, models of every materialization, ephemerals, a snapshot, tests of one and of several parents (some fail, some warn), unit
tests, a disabled model, exposures, and YAML selectors. The same number always gives the same project.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

PROFILE = {"shop": {"target": "dev", "outputs": {"dev": {"type": "duckdb", "path": "shop.duckdb", "threads": 2}}}}
PROJECT = {
    "name": "shop",
    "version": "1.0",
    "profile": "shop",
    "model-paths": ["models"],
    "flags": {"send_anonymous_usage_stats": False},
}


def write(folder: Path, files: Mapping[str, str | dict[str, Any]], **project: Any) -> Path:
    """Write a dbt project into ``folder``: ``files`` beside ``dbt_project.yml`` and ``profiles.yml``, which may be among them.

    A mapping is written as YAML. Further keywords are keys of ``dbt_project.yml``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"dbt_project.yml": {**PROJECT, **project}, "profiles.yml": PROFILE, **files}
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
    return folder


def chain(folder: Path, *names: str, tests: bool = True) -> Path:
    """A project of models that stand on each other in a row, over one seed, each with a test that passes."""
    files: dict[str, Any] = {"seeds/numbers.csv": "id,value\n1,10\n2,20\n"}
    above = "numbers"
    for name in names:
        files[f"models/{name}.sql"] = f"select id, value from {{{{ ref('{above}') }}}}\n"
        above = name
    if tests:
        files["models/schema.yml"] = {
            "models": [{"name": name, "columns": [{"name": "id", "data_tests": ["not_null"]}]} for name in names]
        }
    return write(folder, files)


AT_MOST = """
{% test at_most(model, column_name, bound) %}
select {{ column_name }} from {{ model }} where {{ column_name }} > {{ bound }}
{% endtest %}

{% test adds_up(model, column_name, others, bad=false) %}
select 1 as wrong from {{ model }} where {{ 'true' if bad else 'false' }}
{% for other in others %} and exists (select 1 from {{ other }}) {% endfor %}
{% endtest %}
"""

SELECTORS = """
selectors:
  - name: risky
    definition:
      union:
        - method: tag
          value: risk
          children: true
        - method: config.meta.dag
          value: nightly
        - exclude: [{method: tag, value: slow}]
  - name: careful
    definition:
      method: tag
      value: risk
      indirect_selection: cautious
  - name: buildable
    definition: {method: tag, value: risk, indirect_selection: buildable}
  - name: untested
    definition: {method: tag, value: risk, indirect_selection: empty}
  - name: both
    definition:
      intersection: ["tag:risk+", "path:models/marts"]
"""


class _Writer:
    """Draws one project. Models are named m0, m1, ... in topological order."""

    def __init__(self, number: int, models: int, broken: bool) -> None:
        self.draw = random.Random(number)
        self.count = models
        self.broken = broken
        self.files: dict[str, Any] = {"macros/tests.sql": AT_MOST, "selectors.yml": SELECTORS}
        self.refs: list[str] = []
        self.described: list[dict[str, Any]] = []
        self.ephemeral: set[str] = set()

    def some(self, things: list[str], most: int) -> list[str]:
        return self.draw.sample(things, self.draw.randint(1, min(most, len(things))))

    def test_config(self) -> dict[str, Any]:
        return {"severity": self.draw.choice(["error", "error", "warn"])}

    def tests(self, others: list[str]) -> list[Any]:
        found: list[Any] = ["not_null"]
        limit = self.draw.choice([10**9, 10**9, 0]) if self.broken else 10**9
        if self.draw.random() < 0.5:
            found.append({"at_most": {"arguments": {"bound": limit}, "config": self.test_config()}})
        if others and self.draw.random() < 0.6:
            names = [f"ref('{name}')" for name in self.some(others, 3)]
            bad = self.broken and self.draw.random() < 0.3
            found.append({"adds_up": {"arguments": {"others": names, "bad": bad}, "config": self.test_config()}})
        return found

    def seeds(self) -> None:
        for index in range(3):
            rows = "".join(f"{row},{row * 10}\n" for row in range(1, 4))
            self.files[f"seeds/s{index}.csv"] = "id,value\n" + rows
            self.refs.append(f"ref('s{index}')")
        tables = [{"name": f"s{index}", "columns": [{"name": "id", "data_tests": ["not_null"]}]} for index in range(2)]
        self.files["models/sources.yml"] = {"sources": [{"name": "raw", "schema": "main", "tables": tables}]}
        self.refs += ["source('raw', 's0')", "source('raw', 's1')"]

    def model(self, index: int) -> None:
        name = f"m{index}"
        kind = self.draw.choice(["view", "view", "table", "ephemeral", "incremental"])
        parents = self.some(self.refs[-8:], 3)
        config: dict[str, Any] = {
            "materialized": kind,
            "tags": self.draw.sample(["risk", "slow", "fast"], self.draw.randint(0, 2)),
        }
        if self.draw.random() < 0.3:
            config["meta"] = {"dag": self.draw.choice(["nightly", "hourly"]), "owner": "a-team"}
        if index == self.count // 2:
            config["enabled"] = False
        column = "no_such_column" if self.broken and kind != "ephemeral" and self.draw.random() < 0.08 else "value"
        body = "\nunion all\n".join(f"select id, {column} as value from {{{{ {parent} }}}}" for parent in parents)
        folder = self.draw.choice(["staging", "marts"])
        self.files[f"models/{folder}/{name}.sql"] = f"{{{{ config(**{config!r}) }}}}\n{body}\n"
        if index == self.count // 2:
            return
        earlier = [f"m{i}" for i in range(index) if i != self.count // 2]
        self.described.append({"name": name, "columns": [{"name": "id", "data_tests": self.tests(earlier)}]})
        self.refs.append(f"ref('{name}')")
        if kind == "ephemeral":
            self.ephemeral.add(name)
        elif self.draw.random() < 0.35 and not any(f"'{parent}'" in "".join(parents) for parent in self.ephemeral):
            self.unit_test(name, parents)

    def unit_test(self, name: str, parents: list[str]) -> None:
        given = [{"input": parent, "rows": [{"id": 1, "value": 5}] if parent == parents[0] else []} for parent in parents]
        wrong = self.broken and self.draw.random() < 0.3
        unit = {
            "name": f"unit_{name}",
            "model": name,
            "given": given,
            "overrides": {"macros": {"is_incremental": False}},
            "expect": {"rows": [{"id": 1, "value": 6 if wrong else 5}]},
        }
        self.files.setdefault("models/units.yml", {"unit_tests": []})["unit_tests"].append(unit)

    def leaves(self) -> None:
        last = [name["name"] for name in self.described[-3:]]
        real = [name["name"] for name in self.described if name["name"] not in self.ephemeral]
        one, two = real[len(real) // 3], real[-1]
        self.files["tests/singular.sql"] = f"select 1 as x from {{{{ ref('{one}') }}}}, {{{{ ref('{two}') }}}} where 1 = 0\n"
        self.files["tests/alone.sql"] = "select 1 as x where 1 = 0\n"
        snapshot = {
            "name": "history",
            "relation": f"ref('{one}')",
            "config": {"strategy": "check", "unique_key": "id || '-' || value", "check_cols": ["value"]},
        }
        self.files["snapshots/history.yml"] = {"snapshots": [snapshot]}
        self.files["models/after/after_history.sql"] = (
            "{{ config(tags=['fast']) }}\nselect id, value from {{ ref('history') }}\n"
        )
        self.files["models/exposures.yml"] = {
            "exposures": [
                {
                    "name": "board",
                    "type": "dashboard",
                    "owner": {"name": "Ann", "email": "ann@example.com"},
                    "depends_on": [f"ref('{name}')" for name in last],
                }
            ]
        }

    def project(self) -> dict[str, Any]:
        self.seeds()
        for index in range(self.count):
            self.model(index)
        self.leaves()
        self.files["models/schema.yml"] = {"models": self.described}
        return self.files


def random_project(folder: Path, number: int, *, models: int = 14, broken: bool = False) -> Path:
    """Write the project number ``number`` into ``folder``; with ``broken``, some models and tests of it fail."""
    return write(folder, _Writer(number, models, broken).project())


SELECTIONS: tuple[Mapping[str, Any], ...] = (
    {},
    {"include": ("tag:risk",)},
    {"include": ("tag:risk+",), "exclude": ("tag:slow",)},
    {"include": ("+m9",)},
    {"include": ("@m3",)},
    {"include": ("1+m7+1",)},
    {"include": ("path:models/marts",)},
    {"include": ("tag:risk,path:models/staging", "m5+")},
    {"include": ("tag:risk tag:fast",), "exclude": ("test_type:unit", "m6")},
    {"include": ("config.meta.dag:nightly",)},
    {"include": ("source:raw+",)},
    {"include": ("source:raw",)},
    {"include": ("m2", "m10", "board")},
    {"include": ("resource_type:snapshot+",)},
    {"include": ("test_type:data",)},
    {"include": ("test_type:unit",)},
    {"include": ("config.materialized:ephemeral",)},
    {"include": ("tag:none_such",)},
    {"exclude": ("resource_type:seed",)},
    {"selector": "risky"},
    {"selector": "careful"},
    {"selector": "buildable"},
    {"selector": "untested"},
    {"selector": "both"},
)
"""Selections that every random project is tried with; the keywords of ``select()``."""


def as_flags(selection: Mapping[str, Any]) -> list[str]:
    """The same selection as flags of a dbt command."""
    flags: list[str] = []
    for key, flag in (("include", "--select"), ("exclude", "--exclude")):
        if selection.get(key):
            flags += [flag, " ".join(selection[key])]
    if selection.get("selector"):
        flags += ["--selector", selection["selector"]]
    if selection.get("state"):
        flags += ["--state", str(selection["state"])]
    return flags


def results_of(target_path: Path) -> dict[str, str]:
    """Node statuses in the ``run_results.json`` of a dbt command."""
    document = json.loads((target_path / "run_results.json").read_text(encoding="utf-8"))
    return {result["unique_id"]: result["status"] for result in document["results"]}


KINDS: Mapping[str, str] = {
    "seeds/orders.csv": "id,value,sold\n1,10,2024-01-01\n2,20,2024-01-02\n",
    "models/spine.sql": "{{ config(materialized='table') }}\nselect cast('2024-01-01' as date) as date_day\n",
    "models/stage.sql": "{{ config(materialized='ephemeral') }}\n"
    "select id, value, cast(sold as date) as sold from {{ ref('orders') }}\n",
    "models/facts.sql": "select * from {{ ref('stage') }}\n",
    "models/wide_v1.sql": "select id from {{ ref('facts') }}\n",
    "models/wide_v2.sql": "select id, value from {{ ref('facts') }}\n",
    "models/narrow.sql": "select id from {{ ref('wide') }}\n",
    "analyses/look.sql": "select * from {{ ref('facts') }}\n",
    "models/all.yml": """
groups:
  - name: finance
    owner: {name: Finance Team, email: finance@example.com}
semantic_models:
  - name: sales
    model: ref('facts')
    defaults: {agg_time_dimension: sold}
    entities: [{name: sale, type: primary, expr: id}]
    dimensions: [{name: sold, type: time, type_params: {time_granularity: day}}]
    measures: [{name: total, agg: sum, expr: value}]
metrics:
  - {name: revenue, label: Revenue, type: simple, type_params: {measure: total}}
saved_queries:
  - name: weekly
    query_params: {metrics: [revenue], group_by: ["TimeDimension('sale__sold', 'day')"]}
    exports: [{name: weekly, config: {export_as: table}}]
exposures:
  - name: board
    type: dashboard
    owner: {name: Ann, email: ann@example.com}
    depends_on: ["ref('facts')", "source('raw', 'orders')"]
sources:
  - name: raw
    schema: main
    meta: {owner: sources-team}
    tables: [{name: orders, columns: [{name: id, data_tests: [unique]}]}]
unit_tests:
  - name: stage_casts
    model: stage
    given: [{input: ref('orders'), rows: [{id: 1, value: 2, sold: '2024-01-01'}]}]
    expect: {rows: [{id: 1, value: 2}]}
models:
  - name: spine
    time_spine: {standard_granularity_column: date_day}
    columns: [{name: date_day, granularity: day}]
  - name: facts
    config: {group: finance, tags: [money], meta: {owner: fact-keepers}}
    columns: [{name: id, data_tests: [unique, {not_null: {config: {severity: warn}}}]}]
  - name: narrow
    config: {group: finance}
    columns: [{name: id, data_tests: [{relationships: {arguments: {to: ref('facts'), field: id}}}]}]
  - name: wide
    latest_version: 2
    columns: [{name: id}]
    versions:
      - {v: 1}
      - {v: 2, columns: [{include: all}, {name: value}]}
""",
}
"""One of each kind of thing that dbt knows (functions apart: :data:`FUNCTION`, dbt 1.11)."""

FUNCTION: Mapping[str, str] = {
    "functions/twice.sql": "number * 2\n",
    "functions/twice.yml": """
functions:
  - name: twice
    arguments: [{name: number, data_type: integer}]
    returns: {data_type: integer}
""",
    "models/doubled.sql": "select {{ function('twice') }}(value) as value from {{ ref('facts') }}\n",
}
