with latest as (

    select max(activity_month) as latest_month
    from {{ ref('fct_carrier_safety_months') }}

),

last_year as (

    select
        months.carrier_id,
        sum(months.inspections) as inspections,
        sum(months.out_of_service) as out_of_service,
        sum(months.violation_points) as violation_points,
        sum(months.crashes) as crashes,
        sum(months.miles) as miles,
        sum(months.harsh_brakes) as harsh_brakes
    from {{ ref('fct_carrier_safety_months') }} as months
    cross join latest
    where months.activity_month > {{ dbt.dateadd('month', -12, 'latest.latest_month') }}
    group by months.carrier_id

),

rates as (

    select
        carriers.carrier_id,
        carriers.carrier_name,
        carriers.state_code,
        coalesce(last_year.inspections, 0) as inspections,
        coalesce(last_year.crashes, 0) as crashes,
        coalesce(last_year.miles, 0) as miles,
        {{ ratio('last_year.out_of_service', 'last_year.inspections') }} as out_of_service_rate,
        {{ ratio('last_year.violation_points', 'last_year.inspections') }} as points_per_inspection,
        {{ ratio('1000 * last_year.harsh_brakes', 'last_year.miles') }} as harsh_brakes_per_1000_miles
    from {{ ref('dim_carriers', v=2) }} as carriers
    left join last_year on carriers.carrier_id = last_year.carrier_id

),

scored as (

    select
        rates.*,
        100
        - least(40, 40 * coalesce(out_of_service_rate, 0))
        - least(30, 1.5 * coalesce(points_per_inspection, 0))
        - least(15, 5 * crashes)
        - least(15, 4 * coalesce(harsh_brakes_per_1000_miles, 0)) as raw_score
    from rates

)

select
    carrier_id,
    carrier_name,
    state_code,
    inspections,
    crashes,
    miles,
    out_of_service_rate,
    points_per_inspection,
    harsh_brakes_per_1000_miles,
    cast(round(cast(raw_score as numeric(10, 4)), 1) as numeric(5, 1)) as safety_score,
    case
        when inspections = 0 and crashes = 0 and miles = 0 then 'not_rated'
        when raw_score >= 85 then 'good'
        when raw_score >= 65 then 'fair'
        else 'poor'
    end as safety_band
from scored
