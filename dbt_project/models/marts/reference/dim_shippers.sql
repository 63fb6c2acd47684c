select
    shippers.shipper_id,
    shippers.shipper_name,
    shippers.industry,
    shippers.state_code,
    regions.region,
    shippers.onboarded_on
from {{ ref('stg_onboarding__shippers') }} as shippers
left join {{ ref('fuel_regions') }} as regions on shippers.state_code = regions.state_code
