-- Inspections in the features are those of the safety months: nothing lost between the DAGs.
with expected as (

    select
        features.carrier_id,
        features.as_of_date,
        features.inspections_12m,
        coalesce(sum(months.inspections), 0) as inspections
    from {{ ref('fct_carrier_risk_features') }} as features
    left join {{ ref('fct_carrier_safety_months') }} as months
        on features.carrier_id = months.carrier_id
        and months.activity_month < features.as_of_date
        and months.activity_month >= {{ dbt.dateadd('month', -12, 'features.as_of_date') }}
    group by features.carrier_id, features.as_of_date, features.inspections_12m

)

select *
from expected
where inspections_12m <> inspections
