{#
    Say in a model which DAG builds it:

        {{ in_dag('carrier_risk') }}
        {{ in_dag('carrier_risk', 'carrier_risk_backfill') }}

    Sets meta.dag to the list of names. Other meta, from YAML, dbt_project.yml or a config() call, stays.
    Call it once per model, with all the names: a second call replaces the first.
    Copy this file into macros/ of any dbt project. It needs no package.
#}
{% macro in_dag(name) %}
    {%- set names = [] -%}
    {%- for item in [name] + (varargs | list) -%}
        {%- for dag in ([item] if item is string else item) -%}
            {%- if dag is not string or not modules.re.match('[a-z][a-z0-9_]*$', dag) -%}
                {%- do exceptions.raise_compiler_error(
                    "in_dag: '" ~ dag ~ "' is not the name of a DAG. Write the name of a file in dags/ without "
                    ~ ".yaml: lower-case letters, digits and _, as in in_dag('carrier_risk')."
                ) -%}
            {%- endif -%}
            {%- do names.append(dag) if dag not in names -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if not names -%}
        {%- do exceptions.raise_compiler_error("in_dag: no DAG named. Write in_dag('carrier_risk').") -%}
    {%- endif -%}
    {{- config(meta={'dag': names}) -}}
{% endmacro %}
