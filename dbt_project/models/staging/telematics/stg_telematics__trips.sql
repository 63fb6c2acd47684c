with source as (

    select * from {{ source('telematics', 'trips') }}

)

select
    trip_id,
    truck_id,
    load_id,
    cast(started_at as timestamp) as started_at,
    cast(ended_at as timestamp) as ended_at,
    cast(miles as integer) as miles,
    cast(max_speed_mph as integer) as max_speed_mph,
    cast(harsh_brakes as integer) as harsh_brakes
from source
