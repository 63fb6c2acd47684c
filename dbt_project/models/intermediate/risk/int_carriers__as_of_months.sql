{{ config(materialized='ephemeral') }}
{{ in_dag('carrier_risk') }}

-- Every month's first day, with the carriers that could haul freight on it. The first three months
-- of the data only serve as history.
with months as (

    select distinct cast({{ dbt.date_trunc('month', 'posted_at') }} as date) as as_of_date
    from {{ ref('stg_loadboard__loads') }}

),

numbered as (

    select
        as_of_date,
        row_number() over (order by as_of_date) as month_number
    from months

)

select
    carriers.carrier_id,
    numbered.as_of_date,
    carriers.registered_on,
    carriers.authority_granted_on
from {{ ref('dim_carriers', v=2) }} as carriers
inner join numbered
    on carriers.registered_on < numbered.as_of_date
    and (carriers.authority_revoked_on is null or carriers.authority_revoked_on > numbered.as_of_date)
where numbered.month_number > 3
