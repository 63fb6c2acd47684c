with source as (

    select * from {{ source('onboarding', 'trucks') }}

)

select
    truck_id,
    carrier_id,
    upper(vin) as vin,
    cast(model_year as integer) as model_year,
    cast(added_on as date) as added_on,
    cast(removed_on as date) as removed_on
from source
