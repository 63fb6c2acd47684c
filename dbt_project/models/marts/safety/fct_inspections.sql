with inspections as (

    select * from {{ ref('stg_roadside__inspections') }}

),

points as (

    select * from {{ ref('int_inspections__violation_points') }}

)

select
    inspections.inspection_id,
    inspections.carrier_id,
    inspections.truck_id,
    inspections.inspected_on,
    inspections.state_code,
    inspections.inspection_level,
    inspections.is_out_of_service,
    coalesce(points.violation_count, 0) as violation_count,
    coalesce(points.violation_points, 0) as violation_points
from inspections
left join points on inspections.inspection_id = points.inspection_id
