{{ in_dag('carrier_risk') }}

with trips as (

    select
        load_id,
        driven_by_carrier_id,
        row_number() over (
            partition by load_id
            order by started_at, trip_id
        ) as trip_number
    from {{ ref('fct_trips') }}
    where load_id is not null

)

select
    loads.load_id,
    loads.carrier_id,
    trips.driven_by_carrier_id,
    case when trips.load_id is null then false else true end as is_tracked,
    case
        when trips.load_id is not null and trips.driven_by_carrier_id <> loads.carrier_id then true
        else false
    end as is_foreign_truck
from {{ ref('stg_loadboard__loads') }} as loads
left join trips
    on loads.load_id = trips.load_id
    and trips.trip_number = 1
where loads.carrier_id is not null
