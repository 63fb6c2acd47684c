{{ in_dag('carrier_risk') }}

-- Who shares what with whom, and since when, so that features can look at any past day.
with contacts as (

    select * from {{ ref('stg_onboarding__carrier_contacts') }}

),

traits as (

    select carrier_id, 'phone' as link_type, phone as shared_value, cast(valid_from as date) as known_from
    from contacts
    union all
    select carrier_id, 'address', address, cast(valid_from as date)
    from contacts
    union all
    select carrier_id, 'bank_account', bank_account_hash, cast(valid_from as date)
    from contacts
    union all
    select carrier_id, 'truck', vin, added_on
    from {{ ref('dim_trucks') }}

),

first_known as (

    select
        carrier_id,
        link_type,
        shared_value,
        min(known_from) as known_from
    from traits
    group by carrier_id, link_type, shared_value

)

select
    ours.carrier_id,
    theirs.carrier_id as linked_carrier_id,
    ours.link_type,
    ours.shared_value,
    case
        when ours.known_from > theirs.known_from then ours.known_from
        else theirs.known_from
    end as linked_from
from first_known as ours
inner join first_known as theirs
    on ours.link_type = theirs.link_type
    and ours.shared_value = theirs.shared_value
    and ours.carrier_id <> theirs.carrier_id
