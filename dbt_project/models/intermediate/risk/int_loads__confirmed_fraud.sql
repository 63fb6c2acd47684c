{{ config(materialized='ephemeral') }}
{{ in_dag('carrier_risk') }}

select
    reports.load_id,
    reports.carrier_id,
    reports.fraud_type,
    types.typical_loss_share,
    reports.reported_at,
    reports.resolved_at as confirmed_at
from {{ ref('stg_loadboard__fraud_reports') }} as reports
inner join {{ ref('fraud_types') }} as types on reports.fraud_type = types.fraud_type
where
    reports.report_status = 'confirmed'
    and types.is_carrier_fault
