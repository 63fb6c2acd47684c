{{ in_dag('carrier_risk') }}

select
    offers.offer_id,
    offers.load_id,
    offers.carrier_id,
    loads.shipper_id,
    offers.amount_usd,
    offers.offer_status,
    offers.offered_at,
    {{ ratio('offers.amount_usd', 'loads.distance_miles') }} as amount_per_mile,
    cast({{ dbt.datediff('loads.posted_at', 'offers.offered_at', 'minute') }} as integer) as minutes_to_offer
from {{ ref('stg_loadboard__offers') }} as offers
inner join {{ ref('fct_loads') }} as loads on offers.load_id = loads.load_id
