with source as (

    select * from {{ source('roadside', 'crashes') }}

)

select
    crash_id,
    carrier_id,
    truck_id,
    cast(crashed_on as date) as crashed_on,
    cast(injuries as integer) as injuries,
    cast(fatalities as integer) as fatalities
from source
