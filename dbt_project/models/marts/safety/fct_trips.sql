{{
    config(
        materialized='incremental',
        unique_key='trip_id',
        incremental_strategy='delete+insert',
        on_schema_change='append_new_columns'
    )
}}

with trips as (

    select * from {{ ref('stg_telematics__trips') }}

    {% if is_incremental() %}
        -- a trip is reported when its load is delivered, so some arrive days after they started
        where started_at > (select {{ dbt.dateadd('day', -14, 'max(started_at)') }} from {{ this }})
    {% endif %}

),

trucks as (

    select * from {{ ref('dim_trucks') }}

)

select
    trips.trip_id,
    trips.truck_id,
    trucks.carrier_id as driven_by_carrier_id,
    trips.load_id,
    trips.started_at,
    trips.ended_at,
    trips.miles,
    trips.max_speed_mph,
    trips.harsh_brakes
from trips
left join trucks on trips.truck_id = trucks.truck_id
