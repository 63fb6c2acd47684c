with source as (

    select * from {{ source('roadside', 'violations') }}

)

select
    violation_id,
    inspection_id,
    upper(violation_code) as violation_code
from source
