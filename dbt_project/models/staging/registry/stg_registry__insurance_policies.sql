with source as (

    select * from {{ source('registry', 'insurance_policies') }}

)

select
    policy_id,
    carrier_id,
    insurer,
    cast(coverage_usd as integer) as coverage_usd,
    cast(effective_on as date) as effective_on,
    cast(expires_on as date) as expires_on,
    cast(cancelled_on as date) as cancelled_on,
    cast(coalesce(cancelled_on, expires_on) as date) as covered_until
from source
