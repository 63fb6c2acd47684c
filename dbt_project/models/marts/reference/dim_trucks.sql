with trucks as (

    select * from {{ ref('stg_onboarding__trucks') }}

),

listings as (

    select
        vin,
        count(distinct carrier_id) as carriers_listing_vin
    from trucks
    group by vin

)

select
    trucks.truck_id,
    trucks.carrier_id,
    trucks.vin,
    trucks.model_year,
    trucks.added_on,
    trucks.removed_on,
    listings.carriers_listing_vin
from trucks
inner join listings on trucks.vin = listings.vin
