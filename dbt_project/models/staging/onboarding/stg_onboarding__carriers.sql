with source as (

    select * from {{ source('onboarding', 'carriers') }}

)

select
    carrier_id,
    dot_number,
    legal_name as carrier_name,
    phone,
    address,
    bank_account_hash,
    state_code,
    cast(registered_on as date) as registered_on,
    cast(updated_at as timestamp) as updated_at
from source
