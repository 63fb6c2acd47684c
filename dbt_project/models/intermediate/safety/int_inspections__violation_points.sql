{{ config(materialized='ephemeral') }}

select
    violations.inspection_id,
    count(*) as violation_count,
    sum(weights.severity_weight) as violation_points
from {{ ref('stg_roadside__violations') }} as violations
inner join {{ ref('violation_severity_weights') }} as weights
    on violations.violation_code = weights.violation_code
group by violations.inspection_id
