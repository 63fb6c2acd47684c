select
    crash_id,
    carrier_id,
    truck_id,
    crashed_on,
    injuries,
    fatalities,
    case
        when fatalities > 0 then 'fatal'
        when injuries > 0 then 'injury'
        else 'property'
    end as crash_severity
from {{ ref('stg_roadside__crashes') }}
