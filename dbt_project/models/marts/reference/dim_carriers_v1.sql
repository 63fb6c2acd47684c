with carriers as (

    select * from {{ ref('stg_onboarding__carriers') }}

),

authorities as (

    select * from {{ ref('int_carriers__current_authority') }}

)

select
    carriers.carrier_id,
    carriers.carrier_name,
    carriers.phone,
    carriers.state_code,
    carriers.registered_on,
    case when authorities.revoked_on is null then 'active' else 'revoked' end as authority_status
from carriers
left join authorities on carriers.carrier_id = authorities.carrier_id
