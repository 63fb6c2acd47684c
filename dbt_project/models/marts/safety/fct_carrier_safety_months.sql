with inspections as (

    select
        carrier_id,
        cast({{ dbt.date_trunc('month', 'inspected_on') }} as date) as activity_month,
        count(*) as inspections,
        sum(case when is_out_of_service then 1 else 0 end) as out_of_service,
        sum(violation_points) as violation_points
    from {{ ref('fct_inspections') }}
    group by 1, 2

),

crashes as (

    select
        carrier_id,
        cast({{ dbt.date_trunc('month', 'crashed_on') }} as date) as activity_month,
        count(*) as crashes
    from {{ ref('fct_crashes') }}
    group by 1, 2

),

driving as (

    select
        driven_by_carrier_id as carrier_id,
        cast({{ dbt.date_trunc('month', 'started_at') }} as date) as activity_month,
        sum(miles) as miles,
        sum(harsh_brakes) as harsh_brakes,
        sum(case when max_speed_mph > 75 then 1 else 0 end) as speeding_trips
    from {{ ref('fct_trips') }}
    group by 1, 2

),

months as (

    select carrier_id, activity_month from inspections
    union
    select carrier_id, activity_month from crashes
    union
    select carrier_id, activity_month from driving

)

select
    months.carrier_id,
    months.activity_month,
    coalesce(inspections.inspections, 0) as inspections,
    coalesce(inspections.out_of_service, 0) as out_of_service,
    coalesce(inspections.violation_points, 0) as violation_points,
    coalesce(crashes.crashes, 0) as crashes,
    coalesce(driving.miles, 0) as miles,
    coalesce(driving.harsh_brakes, 0) as harsh_brakes,
    coalesce(driving.speeding_trips, 0) as speeding_trips
from months
left join inspections
    on months.carrier_id = inspections.carrier_id
    and months.activity_month = inspections.activity_month
left join crashes
    on months.carrier_id = crashes.carrier_id
    and months.activity_month = crashes.activity_month
left join driving
    on months.carrier_id = driving.carrier_id
    and months.activity_month = driving.activity_month
