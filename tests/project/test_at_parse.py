"""Run parameters that dbt would read while it parses: each such place is found with its line, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import write

from dbt_flow.project.at_parse import parameters_at_parse
from dbt_flow.project.jinja_uses import Macros, early_uses
from dbt_flow.project.parsing import Parsed, parse
from dbt_flow.project.place import DbtProject

VAR = "var('as_of', 'x')"
NAMES = frozenset({"as_of"})

EARLY = {
    "{{ config(alias='b_' ~ VAR) }}": "config()",
    "{{ config(\n enabled=(VAR == 'x')) }}": "config()",
    "{{ ref(VAR) }}": "ref()",
    "{{ source('raw', VAR) }}": "source()",
    "{{ builtins.ref(VAR) }}": "ref()",
    "{% set day = VAR %}\n{{ ref(day) }}": "ref()",
    "{% set a = VAR %}{% set b = a ~ 'x' %}{% set c = [b] %}{{ ref(c[0]) }}": "ref()",
    "{% set ns = namespace(x=1) %}{% set ns.x = VAR %}{{ ref(ns.x) }}": "ref()",
    "{% set l = [] %}{% do l.append(VAR) %}{{ ref(l[0]) }}": "ref()",
    "{% if VAR == 'x' %}{{ ref('a') }}{% endif %}": "a condition around ref()",
    "{% if VAR == 'x' %}1{% else %}{{ config(tags=['x']) }}{% endif %}": "a condition around config()",
    "{% for day in [VAR] %}{{ ref('a') }}{% endfor %}": "a loop around ref()",
    "{{ ref('a') if VAR else ref('b') }}": "a condition around ref()",
    "{{ VAR and ref('a') }}": "a condition around ref()",
    "{% if var.has_var('as_of') %}{{ ref('a') }}{% endif %}": "a condition around ref()",
    "{{ ref(today()) }}": "ref()",
    "{{ shop.today() and ref('a') }}": "a condition around ref()",
    "{{ picks(VAR) }}": "picks()",
}
FINE = (
    "select '{{ VAR }}' as day from {{ ref('a') }}",
    "{% if VAR %} where day > '{{ VAR }}' {% endif %}",
    "{# {{ config(x=VAR) }} #} select 1",
    "{{ config(post_hook=\"select '{{ var('as_of') }}'\") }} select 1",
    "{{ config(alias=var('other', 'x')) }}",
    "{% set day = VAR %}{% if is_incremental() %} where day > '{{ day }}' {% endif %}",
    "{{ today() }} {{ ref('a') }}",
    "{% if broken",
)
MACROS = Macros({"today": NAMES, "shop.today": NAMES}, frozenset({"picks"}))


@pytest.mark.parametrize("code", EARLY)
def test_a_use_that_decides_what_dbt_learns_is_found(code: str) -> None:
    uses = early_uses("\n" + code.replace("VAR", VAR), NAMES, MACROS)
    assert [(use.name, use.where) for use in uses] == [("as_of", EARLY[code])]
    line = next(
        number for number, text in enumerate(("\n" + code).split("\n"), 1) if any(w in text for w in ("VAR", "ref(", "as_of"))
    )
    assert uses[0].line in (line, line + 1)


@pytest.mark.parametrize("code", FINE)
def test_a_use_that_reaches_the_sql_alone_is_fine(code: str) -> None:
    assert early_uses(code.replace("VAR", VAR), NAMES, MACROS) == []


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    folder = tmp_path_factory.mktemp("early")
    jinja = "\"{{ var('as_of', 'q') }}\""
    files = {
        "models/plain.sql": "\n\nselect 1 as id, '{{ var('as_of', 'x') }}' as d",
        "models/named.sql": "\n\n{{ config(\n  materialized='table',\n  alias='n_' ~ var('as_of', '1')\n) }}\nselect 1 as id",
        "models/macroed.sql": "select {{ hidden() }} as id",
        "macros/m.sql": "\n{% macro day() %}{{ return(var('as_of', 'z')) }}{% endmacro %}\n\n"
        "{% macro hidden() %}\n1 {% if day() %}/* {{ ref('plain') }} */{% endif %}\n{% endmacro %}\n",
        "macros/names.sql": "{% macro generate_schema_name(custom_schema_name, node) %}{{ target.schema }}"
        "{{ day() if false }}{% endmacro %}",
        "models/s.yml": f"""models:
  - name: plain
    description: {jinja}
    config:
      meta: {{v: {jinja}}}
      post_hook: {jinja}
    columns:
      - name: id
        data_tests:
          - accepted_values:
              arguments: {{values: [{jinja}]}}
              config:
                where: {jinja}
""",
        "selectors.yml": "selectors:\n  - name: x\n    definition: \"tag:{{ var('as_of', 'x') }}\"\n",
        "profiles.yml": "shop:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n"
        "      path: \"{{ var('as_of', 'x') }}.duckdb\"\n    other: {type: duckdb, path: \"{{ var('as_of', 'x') }}\"}\n",
    }
    settings = {
        "on-run-start": ["select '{{ var(\"as_of\", 1) }}'"],
        "models": {
            "shop": {"+enabled": "{{ var('as_of', 'x') is not none }}", "+post-hook": "select '{{ var('as_of', 'x') }}'"}
        },
    }
    write(folder / "shop", files, **settings)
    return parse(DbtProject(folder / "shop"), folder / "cache", folder / "target")


def places(parsed: Parsed, *names: str, selected: set[str] | None = None) -> list[str]:
    found = parameters_at_parse(parsed, names, selected)
    assert {error.code for error in found} <= {"parameter-at-parse"}
    return sorted(f"{Path(str(error.place.file)).name}:{error.place.line}" for error in found if error.place)


def test_every_place_in_a_project_is_found_with_its_line(parsed: Parsed) -> None:
    assert places(parsed, "as_of") == [
        "dbt_project.yml:12",
        "m.sql:5",
        "named.sql:5",
        "names.sql:1",
        "profiles.yml:6",
        "s.yml:13",
        "s.yml:5",
        "selectors.yml:3",
    ]


def test_what_only_other_nodes_use_is_left_alone(parsed: Parsed) -> None:
    everywhere = ["dbt_project.yml:12", "names.sql:1", "profiles.yml:6", "selectors.yml:3"]
    assert places(parsed, "as_of", selected={"model.shop.macroed"}) == sorted([*everywhere, "m.sql:5"])
    assert "named.sql:5" in places(parsed, "as_of", selected={"model.shop.named"})


def test_a_parameter_that_nobody_reads_early_is_fine(parsed: Parsed) -> None:
    assert parameters_at_parse(parsed, ["region"]) == ()
    assert parameters_at_parse(parsed, []) == ()


def test_the_message_says_what_to_do(parsed: Parsed) -> None:
    error = next(
        error for error in parameters_at_parse(parsed, ["as_of"]) if error.place and error.place.file.endswith("named.sql")
    )
    assert "config() of model named, which dbt reads while it parses" in error.message
    assert error.hint == "use var('as_of') in the SQL alone, or fix its value for the DAG under vars:"
    assert error.place is not None
    assert error.place.excerpt == "  alias='n_' ~ var('as_of', '1')"
