"""What is never reused, by what stands in the code."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from projects import write

from dbt_flow.plan.making import make_plan
from dbt_flow.plan.reuse import withheld
from dbt_flow.project.jinja_words import words_of
from dbt_flow.project.keys import subjects
from dbt_flow.project.macro_uses import MacroUses
from dbt_flow.project.parsing import parse
from dbt_flow.project.place import DbtProject
from dbt_flow.records import Facts, Node, NodeResult, Target

NEVER = {
    "the_time": ("select '{{ run_started_at }}' as x", "it uses run_started_at"),
    "a_variable": ("select '{{ env_var('NO_SUCH', 'x') }}' as x", "it uses env_var"),
    "a_query": ("{% set x = run_query('select 1') %} select 1 as x", "it uses run_query"),
    "in_a_branch": ("{% if execute %}{{ deep() }}{% endif %} select 1 as x", "it uses invocation_id in the macro deepest"),
    "of_dbt": ("{{ dbt.date_spine('day', \"'2024-01-01'\", \"'2024-01-02'\") }}", "it uses statement in dbt's macro"),
    "hooked": ("{{ config(post_hook='select 1') }} select 1 as x", "it has hooks"),
    "told": ("{{ config(meta={'reuse': 'never'}) }} select 1 as x", "its meta says reuse: never"),
    "batches": (
        "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='x', begin='2024-01-01', "
        "batch_size='day', unique_key='x') }} select 1 as x",
        "its batches follow the clock",
    ),
    "over_inlined": ("select * from {{ ref('inlined') }}", "it uses env_var (inlined)"),
    "made_up": ("{{ adapter.dispatch('x' ~ 'y')() if false }} select 1 as x", "it uses dispatch"),
}
FINE = {
    "plain": "select 1 as x",
    "incremental": "{{ config(materialized='incremental') }} select 1 as x {% if is_incremental() %} where 1 = 1 {% endif %}",
    "patterned": "{% if modules.re.match('a', 'b') %} select 2 as x {% else %} select 1 as x {% endif %}",
    "columns": "select {{ dbt.concat(['1', '2']) }} as flags, 1 as graph -- {# env_var('X') #} run_query",
    "quoted": "select 1 as {{ adapter.quote('x') }}",
}
MACROS = "{% macro deep() %}{{ deepest() }}{% endmacro %}{% macro deepest() %}{{ invocation_id }}{% endmacro %}"


def test_what_is_never_reused_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    models = {**{name: sql for name, (sql, _) in NEVER.items()}, **FINE}
    files = {f"models/{name}.sql": sql for name, sql in models.items()}
    files["models/inlined.sql"] = "{{ config(materialized='ephemeral') }} select '{{ env_var('NO_SUCH', 'x') }}' as x"
    project = write(tmp_path / "p", {**files, "macros/m.sql": MACROS})
    parsed = parse(DbtProject(project), tmp_path / "cache", tmp_path / "target")
    found = {each.name: each for each in subjects(parsed, parsed.manifest.nodes, {}).values()}
    said = {name: found[name].never for name in models}
    assert {name: why for name, why in said.items() if name in FINE} == dict.fromkeys(FINE, "")
    assert {name: why for name, (_, why) in NEVER.items() if not said[name].startswith(why)} == {}, said


def test_vars_are_read_from_the_code_or_all_of_them() -> None:
    assert words_of("{{ var('a', 1) }} {{ var.has_var(\"b\") }}").vars == {"a", "b"}
    assert not words_of("{{ var('a') }} var(x)").any_var
    for code in ("{{ var(name) }}", "{{ var('a' ~ b) }}", "{% set v = var %}", "{{ builtins['var'] }}"):
        assert words_of(code).any_var, code


def test_a_macro_counts_wherever_its_name_stands() -> None:
    def macro(name: str, sql: str, package: str = "mine") -> SimpleNamespace:
        return SimpleNamespace(name=name, macro_sql=sql, package_name=package, depends_on=SimpleNamespace(macros=[]))

    def reach(second: str) -> str:
        known = {
            "macro.mine.a": macro("a", "{{ adapter.dispatch('b')() }}"),
            "macro.mine.duckdb__b": macro("duckdb__b", second),
        }
        return (
            MacroUses(SimpleNamespace(macros=known), ["dbt"], "mine").of("{% if is_incremental() %}{{ a() }}{% endif %}").macros
        )

    assert reach("one") != reach("two")


def test_what_stands_below_a_failure_is_not_told_as_reused() -> None:
    ids = ("model.s.a", "test.s.t", "model.s.b", "model.s.c")
    parents = {ids[0]: (), ids[1]: (ids[0],), ids[2]: (ids[0],), ids[3]: (ids[2],)}
    kinds = {key: key.partition(".")[0] for key in ids}
    nodes = tuple(
        Node(key, kinds[key], key[-1], "s", "", parents[key], tests=ids[0] if kinds[key] == "test" else None) for key in ids
    )
    plan = make_plan("d", "s", Target("dev", "duckdb", "main"), Facts(nodes, (), (), parents))
    results = {key: NodeResult(key, "reused") for key in ids} | {ids[1]: NodeResult(ids[1], "fail")}
    found = withheld(plan, results, frozenset(ids) - {ids[1]})
    assert [found[key].status for key in ids] == ["reused", "fail", "skipped", "skipped"]
