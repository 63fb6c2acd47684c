with carriers as (

    select * from {{ ref('stg_onboarding__carriers') }}

),

authorities as (

    select * from {{ ref('int_carriers__current_authority') }}

),

insurance as (

    select * from {{ ref('int_carriers__insurance_summary') }}

),

regions as (

    select * from {{ ref('fuel_regions') }}

),

versions as (

    select
        carrier_id,
        count(*) as identity_versions
    from {{ ref('snap_carriers') }}
    group by carrier_id

),

fleets as (

    select
        carrier_id,
        sum(case when removed_on is null then 1 else 0 end) as truck_count
    from {{ ref('stg_onboarding__trucks') }}
    group by carrier_id

)

select
    carriers.carrier_id,
    carriers.dot_number,
    carriers.carrier_name,
    carriers.state_code,
    regions.region,
    carriers.registered_on,
    authorities.authority_type,
    authorities.granted_on as authority_granted_on,
    authorities.revoked_on as authority_revoked_on,
    authorities.revocation_reason,
    case when authorities.revoked_on is null then 'active' else 'revoked' end as authority_status,
    insurance.insured_until,
    coalesce(insurance.lapse_count, 0) as insurance_lapses,
    coalesce(fleets.truck_count, 0) as truck_count,
    coalesce(versions.identity_versions, 1) as identity_versions
from carriers
left join authorities on carriers.carrier_id = authorities.carrier_id
left join insurance on carriers.carrier_id = insurance.carrier_id
left join regions on carriers.state_code = regions.state_code
left join versions on carriers.carrier_id = versions.carrier_id
left join fleets on carriers.carrier_id = fleets.carrier_id
