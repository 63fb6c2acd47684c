with source as (

    select * from {{ source('registry', 'authorities') }}

)

select
    authority_id,
    carrier_id,
    authority_type,
    cast(granted_on as date) as granted_on,
    cast(revoked_on as date) as revoked_on,
    revocation_reason
from source
