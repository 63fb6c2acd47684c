{{ in_dag('carrier_risk') }}

with source as (

    select * from {{ source('loadboard', 'fraud_reports') }}

)

select
    report_id,
    load_id,
    carrier_id,
    fraud_type,
    status as report_status,
    cast(reported_at as timestamp) as reported_at,
    cast(resolved_at as timestamp) as resolved_at
from source
