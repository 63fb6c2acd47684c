{{ in_dag('carrier_risk') }}

select
    cast({{ dbt.date_trunc('month', 'booked_at') }} as date) as rate_month,
    equipment,
    count(*) as load_count,
    {{ ratio('sum(rate_usd)', 'sum(distance_miles)') }} as market_rate_per_mile
from {{ ref('fct_loads') }}
where rate_usd is not null
group by 1, 2
