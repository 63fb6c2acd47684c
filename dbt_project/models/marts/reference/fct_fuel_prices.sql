with prices as (

    select
        region,
        week_start,
        price_usd_per_gallon,
        lag(price_usd_per_gallon) over (
            partition by region
            order by week_start
        ) as previous_price
    from {{ ref('stg_fuel__prices') }}

)

select
    region,
    week_start,
    price_usd_per_gallon,
    {{ ratio('price_usd_per_gallon - previous_price', 'previous_price') }} as weekly_change
from prices
