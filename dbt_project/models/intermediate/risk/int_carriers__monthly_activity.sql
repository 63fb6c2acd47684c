{{ in_dag('carrier_risk') }}

-- Each fact counts in the month in which it became known, never in an earlier one.
with offered as (

    select
        carrier_id,
        cast({{ dbt.date_trunc('month', 'offered_at') }} as date) as activity_month,
        count(*) as offers
    from {{ ref('fct_offers') }}
    group by 1, 2

),

booked as (

    select
        loads.carrier_id,
        rates.rate_month as activity_month,
        count(*) as loads,
        sum(loads.rate_usd) as booked_usd,
        count(distinct loads.shipper_id) as shippers,
        avg({{ ratio('loads.rate_per_mile', 'rates.market_rate_per_mile') }}) as rate_to_market
    from {{ ref('fct_loads') }} as loads
    inner join {{ ref('int_lanes__monthly_rates') }} as rates
        on loads.equipment = rates.equipment
        and cast({{ dbt.date_trunc('month', 'loads.booked_at') }} as date) = rates.rate_month
    where loads.carrier_id is not null
    group by 1, 2

),

delivered as (

    select
        carrier_id,
        cast({{ dbt.date_trunc('month', 'delivered_at') }} as date) as activity_month,
        count(*) as deliveries,
        sum(case when is_late then 1 else 0 end) as late_deliveries,
        sum(case when is_tracked then 1 else 0 end) as tracked_deliveries,
        sum(case when is_foreign_truck then 1 else 0 end) as foreign_truck_deliveries
    from {{ ref('fct_loads') }}
    where delivered_at is not null
    group by 1, 2

),

months as (

    select carrier_id, activity_month from offered
    union
    select carrier_id, activity_month from booked
    union
    select carrier_id, activity_month from delivered

)

select
    months.carrier_id,
    months.activity_month,
    coalesce(offered.offers, 0) as offers,
    coalesce(booked.loads, 0) as loads,
    coalesce(booked.booked_usd, 0) as booked_usd,
    coalesce(booked.shippers, 0) as shippers,
    booked.rate_to_market,
    coalesce(delivered.deliveries, 0) as deliveries,
    coalesce(delivered.late_deliveries, 0) as late_deliveries,
    coalesce(delivered.tracked_deliveries, 0) as tracked_deliveries,
    coalesce(delivered.foreign_truck_deliveries, 0) as foreign_truck_deliveries
from months
left join offered
    on months.carrier_id = offered.carrier_id
    and months.activity_month = offered.activity_month
left join booked
    on months.carrier_id = booked.carrier_id
    and months.activity_month = booked.activity_month
left join delivered
    on months.carrier_id = delivered.carrier_id
    and months.activity_month = delivered.activity_month
