with source as (

    select * from {{ source('fuel', 'fuel_prices') }}

)

select
    region,
    cast(week_start as date) as week_start,
    cast(price_usd as numeric(6, 3)) as price_usd_per_gallon
from source
