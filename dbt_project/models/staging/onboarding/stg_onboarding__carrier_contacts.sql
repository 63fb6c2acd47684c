with source as (

    select * from {{ source('onboarding', 'carrier_contacts') }}

)

select
    contact_id,
    carrier_id,
    phone,
    address,
    bank_account_hash,
    cast(valid_from as timestamp) as valid_from
from source
