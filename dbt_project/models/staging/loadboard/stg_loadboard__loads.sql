{{ in_dag('carrier_risk') }}

with source as (

    select * from {{ source('loadboard', 'loads') }}

)

select
    load_id,
    shipper_id,
    carrier_id,
    origin_state,
    destination_state,
    equipment,
    cast(distance_miles as integer) as distance_miles,
    cast(rate_usd as numeric(10, 2)) as rate_usd,
    status as load_status,
    cast(posted_at as timestamp) as posted_at,
    cast(booked_at as timestamp) as booked_at,
    cast(pickup_at as timestamp) as pickup_at,
    cast(due_at as timestamp) as due_at,
    cast(delivered_at as timestamp) as delivered_at,
    cast(updated_at as timestamp) as updated_at
from source
