with source as (

    select * from {{ source('roadside', 'inspections') }}

)

select
    inspection_id,
    carrier_id,
    truck_id,
    cast(inspected_on as date) as inspected_on,
    state_code,
    cast(inspection_level as integer) as inspection_level,
    is_out_of_service
from source
