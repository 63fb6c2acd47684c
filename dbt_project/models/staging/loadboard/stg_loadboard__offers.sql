{{ in_dag('carrier_risk') }}

with source as (

    select * from {{ source('loadboard', 'offers') }}

)

select
    offer_id,
    load_id,
    carrier_id,
    cast(amount_usd as numeric(10, 2)) as amount_usd,
    status as offer_status,
    cast(offered_at as timestamp) as offered_at
from source
