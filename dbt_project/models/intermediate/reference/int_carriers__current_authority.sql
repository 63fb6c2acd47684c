{{ config(materialized='ephemeral') }}

with ranked as (

    select
        carrier_id,
        authority_id,
        authority_type,
        granted_on,
        revoked_on,
        revocation_reason,
        row_number() over (
            partition by carrier_id
            order by granted_on desc, authority_id desc
        ) as recency
    from {{ ref('stg_registry__authorities') }}

)

select
    carrier_id,
    authority_id,
    authority_type,
    granted_on,
    revoked_on,
    revocation_reason
from ranked
where recency = 1
