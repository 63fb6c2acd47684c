{{ in_dag('carrier_risk') }}

with members as (

    select distinct
        link_type,
        shared_value,
        carrier_id
    from {{ ref('int_carriers__identity_links') }}

)

select
    {{ dbt.hash(dbt.concat(["members.link_type", "'|'", "members.shared_value"])) }} as cluster_id,
    members.link_type,
    members.shared_value,
    count(*) as carrier_count,
    sum(case when carriers.authority_status = 'revoked' then 1 else 0 end) as revoked_carriers,
    sum(case when carriers.revocation_reason = 'fraud_finding' then 1 else 0 end) as fraud_revocations,
    max(carriers.registered_on) as last_registered_on
from members
inner join {{ ref('dim_carriers', v=2) }} as carriers on members.carrier_id = carriers.carrier_id
group by members.link_type, members.shared_value
