-- A carrier without an active authority on the day must not have won a load.
-- Stands on two DAGs' tables, so it runs in the one that builds the later of them.
select
    offers.offer_id,
    offers.carrier_id,
    offers.offered_at,
    carriers.authority_revoked_on
from {{ ref('fct_offers') }} as offers
inner join {{ ref('dim_carriers', v=2) }} as carriers on offers.carrier_id = carriers.carrier_id
where
    offers.offer_status = 'accepted'
    and cast(offers.offered_at as date) > carriers.authority_revoked_on
