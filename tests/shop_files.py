"""The texts of the tiny shop's dbt project; :mod:`shop` writes them."""

from __future__ import annotations

from collections.abc import Mapping

CONTROL = """
{% macro control(name) -%}
  (case when exists (select 1 from glob('control/{{ name }}.fail')) then cast(error('{{ name }} was told to fail') as varchar)
   else cast(sleep_ms((select cast(content as bigint) from read_text('control/{{ name }}.sleep'))) as varchar) end)
{%- endmacro %}
"""

TABLE = "{{ config(materialized='table') }}\n"
MODELS: Mapping[str, str] = {
    "stg_customers": "select id, name from {{ ref('customers') }}",
    "stg_orders": "{{ config(materialized='ephemeral') }}\nselect * from {{ ref('orders') }}",
    "clean_orders": TABLE
    + "select id, customer_id, amount, {{ control('clean_orders') }} as told from {{ ref('stg_orders') }}",
    "totals": TABLE + "select customer_id, sum(amount) as total from {{ ref('clean_orders') }} group by 1",
    "slow": TABLE
    + "{{ config(tags=['slow']) }}select 1 as id, {{ control('slow') }} as told from {{ ref('stg_customers') }} limit 1",
    "after_slow": TABLE + "select id from {{ ref('slow') }}",
    "flaky": TABLE
    + "{{ config(tags=['flaky']) }}select 1 as id, {{ control('flaky') }} as told from {{ ref('stg_customers') }} limit 1",
    "after_flaky": TABLE + "select id from {{ ref('flaky') }}",
    "report": TABLE + 'select t.*, c.name, \'{{ var("as_of", "never") }}\' as as_of\n'
    "from {{ ref('totals') }} t join {{ ref('stg_customers') }} c on c.id = t.customer_id",
}
CONTROLLED = ("clean_orders", "slow", "flaky", "on_run_start", "on_run_end")

SCHEMA = """
models:
  - name: stg_customers
    columns:
      - {name: id, data_tests: [unique]}
      - {name: name, data_tests: [{not_null: {config: {severity: warn}}}]}
  - name: clean_orders
    columns:
      - {name: amount, data_tests: [not_null]}
      - {name: customer_id, data_tests: [{relationships: {arguments: {to: ref('stg_customers'), field: id}}}]}
  - name: report
    columns:
      - {name: total, data_tests: [not_null]}
unit_tests:
  - name: totals_add_up
    model: totals
    given: [{input: ref('clean_orders'), rows: [{customer_id: 1, amount: 2}, {customer_id: 1, amount: 3}]}]
    expect: {rows: [{customer_id: 1, total: EXPECTED}]}
snapshots:
  - name: customer_history
    relation: ref('stg_customers')
    config: {strategy: check, unique_key: id, check_cols: [name]}
"""
