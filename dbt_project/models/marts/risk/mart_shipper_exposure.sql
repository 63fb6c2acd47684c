{{ in_dag('carrier_risk') }}

with fraud as (

    select
        load_id,
        max(typical_loss_share) as loss_share
    from {{ ref('int_loads__confirmed_fraud') }}
    group by load_id

)

select
    shippers.shipper_id,
    shippers.shipper_name,
    shippers.industry,
    shippers.region,
    count(loads.load_id) as loads,
    coalesce(sum(loads.rate_usd), 0) as booked_usd,
    count(fraud.load_id) as fraud_loads,
    {{ ratio('count(fraud.load_id)', 'count(loads.load_id)') }} as fraud_load_share,
    coalesce(sum(loads.rate_usd * fraud.loss_share), 0) as estimated_loss_usd
from {{ ref('dim_shippers') }} as shippers
left join {{ ref('fct_loads') }} as loads on shippers.shipper_id = loads.shipper_id
left join fraud on loads.load_id = fraud.load_id
group by shippers.shipper_id, shippers.shipper_name, shippers.industry, shippers.region
