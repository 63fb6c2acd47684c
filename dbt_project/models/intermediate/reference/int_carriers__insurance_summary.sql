with terms as (

    select
        carrier_id,
        effective_on,
        covered_until,
        lag(covered_until) over (
            partition by carrier_id
            order by effective_on, policy_id
        ) as previously_covered_until
    from {{ ref('stg_registry__insurance_policies') }}

)

select
    carrier_id,
    count(*) as policy_count,
    max(covered_until) as insured_until,
    sum(case when effective_on > previously_covered_until then 1 else 0 end) as lapse_count,
    coalesce(
        sum(
            case
                when effective_on > previously_covered_until
                    then {{ days_between('previously_covered_until', 'effective_on') }}
            end
        ),
        0
    ) as days_uninsured
from terms
group by carrier_id
