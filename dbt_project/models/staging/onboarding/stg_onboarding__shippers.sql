with source as (

    select * from {{ source('onboarding', 'shippers') }}

)

select
    shipper_id,
    shipper_name,
    industry,
    state_code,
    cast(onboarded_on as date) as onboarded_on
from source
