{{ in_dag('carrier_risk') }}

-- One row per carrier and month. A feature uses only what was known before as_of_date; the label
-- looks at the days after it, and is null until those days, and the time to report fraud, are over.
with carrier_months as (

    select * from {{ ref('int_carriers__as_of_months') }}

),

fraud as (

    select * from {{ ref('int_loads__confirmed_fraud') }}

),

activity as (

    select
        carrier_months.carrier_id,
        carrier_months.as_of_date,
        {% set last_month = dbt.dateadd('month', -1, 'carrier_months.as_of_date') -%}
        {%- set last_quarter = dbt.dateadd('month', -3, 'carrier_months.as_of_date') -%}
        sum(case when months.activity_month >= {{ last_month }} then months.offers else 0 end) as offers_1m,
        sum(case when months.activity_month < {{ last_month }} then months.offers else 0 end) as offers_prior_11m,
        sum(case when months.activity_month < {{ last_month }} then 1 else 0 end) as active_months_prior_11m,
        sum(months.offers) as offers_12m,
        sum(case when months.activity_month >= {{ last_month }} then months.loads else 0 end) as loads_1m,
        sum(case when months.activity_month >= {{ last_quarter }} then months.loads else 0 end) as loads_3m,
        sum(case when months.activity_month >= {{ last_quarter }} then months.booked_usd else 0 end) as booked_usd_3m,
        avg(case when months.activity_month >= {{ last_quarter }} then months.rate_to_market end) as rate_to_market_3m,
        sum(case when months.activity_month >= {{ last_quarter }} then months.deliveries else 0 end) as deliveries_3m,
        sum(case when months.activity_month >= {{ last_quarter }} then months.late_deliveries end) as late_3m,
        sum(case when months.activity_month >= {{ last_quarter }} then months.tracked_deliveries end) as tracked_3m,
        sum(
            case when months.activity_month >= {{ last_quarter }} then months.foreign_truck_deliveries end
        ) as foreign_truck_3m
    from carrier_months
    inner join {{ ref('int_carriers__monthly_activity') }} as months
        on carrier_months.carrier_id = months.carrier_id
        and months.activity_month < carrier_months.as_of_date
        and months.activity_month >= {{ dbt.dateadd('month', -12, 'carrier_months.as_of_date') }}
    group by carrier_months.carrier_id, carrier_months.as_of_date

),

links as (

    select
        carrier_months.carrier_id,
        carrier_months.as_of_date,
        count(distinct case when links.link_type = 'phone' then links.linked_carrier_id end) as shared_phone,
        count(distinct case when links.link_type = 'address' then links.linked_carrier_id end) as shared_address,
        count(distinct case when links.link_type = 'bank_account' then links.linked_carrier_id end) as shared_bank,
        count(distinct case when links.link_type = 'truck' then links.linked_carrier_id end) as shared_truck,
        count(
            distinct case
                when linked.authority_revoked_on < carrier_months.as_of_date then links.linked_carrier_id
            end
        ) as linked_revoked
    from carrier_months
    inner join {{ ref('int_carriers__identity_links') }} as links
        on carrier_months.carrier_id = links.carrier_id
        and links.linked_from < carrier_months.as_of_date
    inner join {{ ref('dim_carriers', v=2) }} as linked on links.linked_carrier_id = linked.carrier_id
    group by carrier_months.carrier_id, carrier_months.as_of_date

),

contacts as (

    select
        carrier_months.carrier_id,
        carrier_months.as_of_date,
        max(cast(contacts.valid_from as date)) as contact_changed_on
    from carrier_months
    inner join {{ ref('stg_onboarding__carrier_contacts') }} as contacts
        on carrier_months.carrier_id = contacts.carrier_id
        and contacts.valid_from < carrier_months.as_of_date
    group by carrier_months.carrier_id, carrier_months.as_of_date

),

insurance as (

    select
        carrier_months.carrier_id,
        carrier_months.as_of_date,
        max(
            case
                when policies.cancelled_on < carrier_months.as_of_date then policies.cancelled_on
                else policies.expires_on
            end
        ) as known_covered_until
    from carrier_months
    inner join {{ ref('stg_registry__insurance_policies') }} as policies
        on carrier_months.carrier_id = policies.carrier_id
        and policies.effective_on < carrier_months.as_of_date
    group by carrier_months.carrier_id, carrier_months.as_of_date

),

safety as (

    select
        carrier_months.carrier_id,
        carrier_months.as_of_date,
        sum(months.inspections) as inspections_12m,
        sum(months.out_of_service) as out_of_service_12m,
        sum(months.crashes) as crashes_12m
    from carrier_months
    inner join {{ ref('fct_carrier_safety_months') }} as months
        on carrier_months.carrier_id = months.carrier_id
        and months.activity_month < carrier_months.as_of_date
        and months.activity_month >= {{ dbt.dateadd('month', -12, 'carrier_months.as_of_date') }}
    group by carrier_months.carrier_id, carrier_months.as_of_date

),

known_fraud as (

    select
        carrier_id,
        min(confirmed_at) as first_confirmed_at
    from fraud
    group by carrier_id

),

positives as (

    select distinct
        carrier_months.carrier_id,
        carrier_months.as_of_date
    from carrier_months
    inner join {{ ref('fct_loads') }} as loads
        on carrier_months.carrier_id = loads.carrier_id
        and loads.pickup_at >= carrier_months.as_of_date
        and loads.pickup_at < {{ add_days('carrier_months.as_of_date', var('label_horizon_days')) }}
    inner join fraud on loads.load_id = fraud.load_id

),

data_end as (

    select cast(max(updated_at) as date) as data_until
    from {{ ref('fct_loads') }}

),

joined as (

    select
        carrier_months.carrier_id,
        carrier_months.as_of_date,
        carrier_months.registered_on,
        contacts.contact_changed_on,
        insurance.known_covered_until,
        links.shared_phone,
        links.shared_address,
        links.shared_bank,
        links.shared_truck,
        links.linked_revoked,
        activity.offers_1m,
        activity.offers_prior_11m,
        activity.active_months_prior_11m,
        activity.offers_12m,
        activity.loads_1m,
        activity.loads_3m,
        activity.booked_usd_3m,
        activity.rate_to_market_3m,
        activity.deliveries_3m,
        activity.late_3m,
        activity.tracked_3m,
        activity.foreign_truck_3m,
        safety.inspections_12m,
        safety.out_of_service_12m,
        safety.crashes_12m,
        case when positives.carrier_id is null then false else true end as is_positive,
        case
            when
                {{ add_days('carrier_months.as_of_date', var('label_horizon_days') + var('label_lag_days')) }}
                <= data_end.data_until
                then true
            else false
        end as is_label_mature
    from carrier_months
    cross join data_end
    {% for part in ['activity', 'links', 'contacts', 'insurance', 'safety', 'positives'] -%}
    left join {{ part }}
        on carrier_months.carrier_id = {{ part }}.carrier_id
        and carrier_months.as_of_date = {{ part }}.as_of_date
    {% endfor -%}
    left join known_fraud on carrier_months.carrier_id = known_fraud.carrier_id
    where
        -- caught already: nothing left to predict
        (known_fraud.first_confirmed_at is null or known_fraud.first_confirmed_at >= carrier_months.as_of_date)
        -- on the market: seen in the last year, or new
        and (
            activity.offers_12m > 0
            or {{ days_between('carrier_months.registered_on', 'carrier_months.as_of_date') }} <= 180
        )

)

select
    {{ dbt.concat([dbt.cast('carrier_id', dbt.type_string()), "'-'", dbt.cast('as_of_date', dbt.type_string())]) }}
        as carrier_month_id,
    cast(carrier_id as bigint) as carrier_id,
    as_of_date,
    {{ days_between('registered_on', 'as_of_date') }} as days_since_registered,
    {{ days_between('contact_changed_on', 'as_of_date') }} as days_since_contact_change,
    case when known_covered_until >= as_of_date then true else false end as is_insured,
    cast(coalesce(shared_phone, 0) as integer) as shared_phone_carriers,
    cast(coalesce(shared_address, 0) as integer) as shared_address_carriers,
    cast(coalesce(shared_bank, 0) as integer) as shared_bank_carriers,
    cast(coalesce(shared_truck, 0) as integer) as shared_truck_carriers,
    cast(coalesce(linked_revoked, 0) as integer) as linked_revoked_carriers,
    cast(coalesce(offers_1m, 0) as integer) as offers_1m,
    cast(coalesce(offers_12m, 0) as integer) as offers_12m,
    cast(coalesce(active_months_prior_11m, 0) as integer) as active_months_prior_11m,
    {{ ratio('offers_1m * active_months_prior_11m', 'offers_prior_11m') }} as offers_growth,
    cast(coalesce(loads_1m, 0) as integer) as loads_1m,
    cast(coalesce(loads_3m, 0) as integer) as loads_3m,
    cast(coalesce(booked_usd_3m, 0) as double precision) as booked_usd_3m,
    cast(rate_to_market_3m as double precision) as rate_to_market_3m,
    {{ ratio('late_3m', 'deliveries_3m') }} as late_share_3m,
    {{ ratio('tracked_3m', 'deliveries_3m') }} as tracked_share_3m,
    {{ ratio('foreign_truck_3m', 'tracked_3m') }} as foreign_truck_share_3m,
    cast(coalesce(inspections_12m, 0) as integer) as inspections_12m,
    {{ ratio('out_of_service_12m', 'inspections_12m') }} as out_of_service_rate_12m,
    cast(coalesce(crashes_12m, 0) as integer) as crashes_12m,
    is_label_mature,
    case when is_label_mature then is_positive end as is_fraud_next_90d
from joined
