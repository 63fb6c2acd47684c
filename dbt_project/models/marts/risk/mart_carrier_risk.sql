{{ in_dag('carrier_risk') }}

-- Rules that people can read, for the latest month: the yardstick that a model has to beat.
with features as (

    select *
    from {{ ref('fct_carrier_risk_features') }}
    where as_of_date = (select max(as_of_date) from {{ ref('fct_carrier_risk_features') }})

),

points as (

    select
        features.*,
        case when linked_revoked_carriers > 0 then 25 else 0 end
        + case when shared_bank_carriers > 0 then 15 else 0 end
        + case when shared_truck_carriers > 0 then 10 else 0 end
        + case when days_since_contact_change < 120 and days_since_registered > 365 then 20 else 0 end
        + case when offers_growth >= 3 then 10 else 0 end
        + case when foreign_truck_share_3m >= 0.2 then 15 else 0 end
        + case when is_insured then 0 else 5 end as risk_points
    from features

)

select
    points.carrier_id,
    carriers.carrier_name,
    points.as_of_date,
    points.risk_points,
    case
        when points.risk_points >= 45 then 'high'
        when points.risk_points >= 25 then 'medium'
        else 'low'
    end as risk_band,
    points.linked_revoked_carriers,
    points.days_since_contact_change,
    points.offers_growth,
    points.foreign_truck_share_3m,
    safety.safety_score,
    safety.safety_band
from points
inner join {{ ref('dim_carriers', v=2) }} as carriers on points.carrier_id = carriers.carrier_id
left join {{ ref('mart_carrier_safety_scores') }} as safety on points.carrier_id = safety.carrier_id
