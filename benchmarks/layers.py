"""Write a layered dbt project of a given size: what the benchmarks run on.

The same arguments give the same project. Each model reads one to three models of earlier layers; latency, where asked for, is
``pg_sleep`` in the SQL of models and tests on PostgreSQL, and nothing on DuckDB.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """How large and how slow."""

    models: int = 40
    layers: int = 6
    tests: float = 1.4
    """Data tests per model, on average."""
    latency: float = 0.0
    """Seconds that a model takes on PostgreSQL, on average."""
    test_latency: float = 0.0
    """Seconds that a data test takes there."""
    uneven: float = 0.0
    """How far latencies differ: sigma of a log-normal distribution around the mean; 1.0 is usual for queries."""
    narrowing: float = 0.0
    """The share of what models are left that each layer takes: many stagings, few marts. 0: all layers are alike."""
    threads: int = 4
    seed: int = 1


def write(folder: Path, shape: Shape, port: int | None = None) -> Path:
    """Write the project; with a port, its target is PostgreSQL there. Gives the folder."""
    chance = random.Random(shape.seed)
    layers = _layers(shape)
    _put(folder / "dbt_project.yml", _project())
    _put(folder / "profiles.yml", _profile(folder, shape.threads, port))
    _put(folder / "macros" / "nap.sql", _NAP.replace("SECONDS", f"{shape.test_latency:.3f}"))
    _put(folder / "seeds" / "raw_numbers.csv", "id,val\n" + "".join(f"{i},{i * 3 % 17}\n" for i in range(1, 21)))
    properties: list[str] = []
    for depth, names in enumerate(layers):
        earlier = [name for layer in layers[:depth] for name in layer]
        for name in names:
            parents = _parents(chance, layers, depth, earlier)
            nap = _latency(chance, shape)
            _put(folder / "models" / f"layer_{depth}" / f"{name}.sql", _model(chance, parents, nap))
            properties += _properties(chance, name, shape)
    _put(folder / "models" / "models.yml", "models:\n" + "".join(properties))
    _put(folder / "models" / "exposures.yml", _exposures(layers[-1]))
    return folder


def _layers(shape: Shape) -> list[list[str]]:
    sizes: list[int] = []
    for above in range(shape.layers - 1, 0, -1):
        left = shape.models - sum(sizes)
        sizes.append(max(1, int(left * shape.narrowing)) if shape.narrowing else left // (above + 1))
    sizes.append(shape.models - sum(sizes))
    numbers = iter(range(shape.models))
    return [[f"m_{next(numbers):04d}" for _ in range(size)] for size in sizes]


def _parents(chance: random.Random, layers: list[list[str]], depth: int, earlier: list[str]) -> list[str]:
    if depth == 0:
        return []
    above = chance.sample(layers[depth - 1], 1)
    others = chance.sample(earlier, min(len(earlier), chance.choice([0, 0, 1, 2])))
    return sorted({*above, *others})


def _latency(chance: random.Random, shape: Shape) -> float:
    if not shape.latency or not shape.uneven:
        return shape.latency
    return chance.lognormvariate(math.log(shape.latency) - shape.uneven**2 / 2, shape.uneven)


def _model(chance: random.Random, parents: list[str], nap: float) -> str:
    refs = [f"{{{{ ref('{parent}') }}}}" for parent in parents] or ["{{ ref('raw_numbers') }}"]
    joins = "".join(f"\nleft join {ref} t{i} on t{i}.id = t0.id" for i, ref in enumerate(refs[1:], 1))
    tags = json.dumps(["daily" if chance.random() < 0.7 else "hourly", f"team_{chance.randrange(5)}"])
    config = f"{{{{ config(materialized='table', tags={tags}) }}}}"
    return f"{config}\n{{{{ nap({nap:.3f}) }}}}\nselect t0.id, (t0.val * 7 + 3) % 1000 as val\nfrom nap, {refs[0]} t0{joins}\n"


def _properties(chance: random.Random, name: str, shape: Shape) -> list[str]:
    whole = int(shape.tests) + (chance.random() < shape.tests % 1)
    tests = ["not_null", "unique"][:whole]
    lines = [f"  - name: {name}\n    columns:\n      - name: id\n"]
    return lines + (["        data_tests:\n", *(f"          - {test}\n" for test in tests)] if tests else [])


def _exposures(last: list[str]) -> str:
    head = "exposures:\n"
    return head + "".join(
        f"  - name: board_{i}\n    type: dashboard\n    owner: {{name: bi, email: bi@example.com}}\n"
        f"    depends_on: [\"ref('{name}')\"]\n"
        for i, name in enumerate(last[:: max(1, len(last) // 5)][:5])
    )


def _project() -> str:
    return (
        "name: layers\nversion: '1.0'\nprofile: layers\nflags: {send_anonymous_usage_stats: false}\n"
        "models: {layers: {+materialized: table}}\n"
    )


def _profile(folder: Path, threads: int, port: int | None) -> str:
    if port is None:
        target = f"{{type: duckdb, path: '{folder.absolute() / 'layers.duckdb'}', threads: {threads}}}"
    else:
        target = (
            f"{{type: postgres, host: 127.0.0.1, port: {port}, user: bench, pass: bench, dbname: postgres, "
            f"schema: layers, threads: {threads}}}"
        )
    return f"layers:\n  target: dev\n  outputs:\n    dev: {target}\n"


_NAP = """{% macro nap(seconds) -%}
{%- if target.type == 'postgres' and seconds > 0 -%}
with nap as materialized (select pg_sleep({{ seconds }}))
{%- else -%}
with nap as (select 1)
{%- endif -%}
{%- endmacro %}

{% test not_null(model, column_name) %}
{{ nap(SECONDS) }}
select t.* from nap, {{ model }} t where {{ column_name }} is null
{% endtest %}

{% test unique(model, column_name) %}
{{ nap(SECONDS) }}
select {{ column_name }} from nap, {{ model }} group by {{ column_name }} having count(*) > 1
{% endtest %}
"""


def _put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def main() -> None:
    """Write one project, as the command line says."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path)
    words.add_argument("--models", type=int, default=40)
    words.add_argument("--layers", type=int, default=6)
    words.add_argument("--latency", type=float, default=0.0, help="seconds a model, on PostgreSQL")
    words.add_argument("--threads", type=int, default=4)
    said = words.parse_args()
    write(said.folder, Shape(said.models, said.layers, latency=said.latency, threads=said.threads))
    print(said.folder)


if __name__ == "__main__":
    main()
