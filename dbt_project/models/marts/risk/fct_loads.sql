{{
    config(
        materialized='incremental',
        unique_key='load_id',
        incremental_strategy='delete+insert',
        on_schema_change='append_new_columns'
    )
}}
{{ in_dag('carrier_risk') }}

with loads as (

    select * from {{ ref('stg_loadboard__loads') }}

    {% if is_incremental() %}
        where updated_at > (select {{ dbt.dateadd('day', -7, 'max(updated_at)') }} from {{ this }})
    {% endif %}

),

telematics as (

    select * from {{ ref('int_loads__telematics_match') }}

),

regions as (

    select * from {{ ref('fuel_regions') }}

),

fuel as (

    select * from {{ ref('fct_fuel_prices') }}

)

select
    loads.load_id,
    loads.shipper_id,
    loads.carrier_id,
    loads.origin_state,
    loads.destination_state,
    regions.region as origin_region,
    loads.equipment,
    loads.distance_miles,
    loads.rate_usd,
    {{ ratio('loads.rate_usd', 'loads.distance_miles') }} as rate_per_mile,
    fuel.price_usd_per_gallon as fuel_price_usd,
    loads.load_status,
    loads.posted_at,
    loads.booked_at,
    loads.pickup_at,
    loads.due_at,
    loads.delivered_at,
    case when loads.delivered_at > loads.due_at then true else false end as is_late,
    coalesce(telematics.is_tracked, false) as is_tracked,
    coalesce(telematics.is_foreign_truck, false) as is_foreign_truck,
    loads.updated_at
from loads
left join telematics on loads.load_id = telematics.load_id
left join regions on loads.origin_state = regions.state_code
left join fuel
    on regions.region = fuel.region
    and cast({{ dbt.date_trunc('week', 'loads.posted_at') }} as date) = fuel.week_start
