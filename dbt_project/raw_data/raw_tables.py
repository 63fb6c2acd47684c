"""The raw tables: their columns, in order, with DuckDB types.

Every table also gets ``_loaded_at``, the time at which the extract landed. dbt's
source freshness reads it.
"""

from __future__ import annotations

from typing import Any

Row = tuple[Any, ...]
Tables = dict[str, list[Row]]

LOADED_AT = "_loaded_at"

SCHEMAS: dict[str, dict[str, str]] = {
    "carriers": {
        "carrier_id": "BIGINT",
        "dot_number": "BIGINT",
        "legal_name": "VARCHAR",
        "phone": "VARCHAR",
        "address": "VARCHAR",
        "bank_account_hash": "VARCHAR",
        "state_code": "VARCHAR",
        "registered_on": "DATE",
        "updated_at": "TIMESTAMP",
    },
    "carrier_contacts": {
        "contact_id": "VARCHAR",
        "carrier_id": "BIGINT",
        "phone": "VARCHAR",
        "address": "VARCHAR",
        "bank_account_hash": "VARCHAR",
        "valid_from": "TIMESTAMP",
    },
    "trucks": {
        "truck_id": "BIGINT",
        "carrier_id": "BIGINT",
        "vin": "VARCHAR",
        "model_year": "INTEGER",
        "added_on": "DATE",
        "removed_on": "DATE",
    },
    "shippers": {
        "shipper_id": "BIGINT",
        "shipper_name": "VARCHAR",
        "industry": "VARCHAR",
        "state_code": "VARCHAR",
        "onboarded_on": "DATE",
    },
    "authorities": {
        "authority_id": "VARCHAR",
        "carrier_id": "BIGINT",
        "authority_type": "VARCHAR",
        "granted_on": "DATE",
        "revoked_on": "DATE",
        "revocation_reason": "VARCHAR",
    },
    "insurance_policies": {
        "policy_id": "VARCHAR",
        "carrier_id": "BIGINT",
        "insurer": "VARCHAR",
        "coverage_usd": "INTEGER",
        "effective_on": "DATE",
        "expires_on": "DATE",
        "cancelled_on": "DATE",
    },
    "fuel_prices": {
        "region": "VARCHAR",
        "week_start": "DATE",
        "price_usd": "DECIMAL(6,3)",
    },
    "inspections": {
        "inspection_id": "VARCHAR",
        "carrier_id": "BIGINT",
        "truck_id": "BIGINT",
        "inspected_on": "DATE",
        "state_code": "VARCHAR",
        "inspection_level": "INTEGER",
        "is_out_of_service": "BOOLEAN",
    },
    "violations": {
        "violation_id": "VARCHAR",
        "inspection_id": "VARCHAR",
        "violation_code": "VARCHAR",
    },
    "crashes": {
        "crash_id": "VARCHAR",
        "carrier_id": "BIGINT",
        "truck_id": "BIGINT",
        "crashed_on": "DATE",
        "injuries": "INTEGER",
        "fatalities": "INTEGER",
    },
    "trips": {
        "trip_id": "VARCHAR",
        "truck_id": "BIGINT",
        "load_id": "BIGINT",
        "started_at": "TIMESTAMP",
        "ended_at": "TIMESTAMP",
        "miles": "INTEGER",
        "max_speed_mph": "INTEGER",
        "harsh_brakes": "INTEGER",
    },
    "loads": {
        "load_id": "BIGINT",
        "shipper_id": "BIGINT",
        "carrier_id": "BIGINT",
        "origin_state": "VARCHAR",
        "destination_state": "VARCHAR",
        "equipment": "VARCHAR",
        "distance_miles": "INTEGER",
        "rate_usd": "DECIMAL(10,2)",
        "status": "VARCHAR",
        "posted_at": "TIMESTAMP",
        "booked_at": "TIMESTAMP",
        "pickup_at": "TIMESTAMP",
        "due_at": "TIMESTAMP",
        "delivered_at": "TIMESTAMP",
        "updated_at": "TIMESTAMP",
    },
    "offers": {
        "offer_id": "BIGINT",
        "load_id": "BIGINT",
        "carrier_id": "BIGINT",
        "amount_usd": "DECIMAL(10,2)",
        "status": "VARCHAR",
        "offered_at": "TIMESTAMP",
    },
    "fraud_reports": {
        "report_id": "VARCHAR",
        "load_id": "BIGINT",
        "carrier_id": "BIGINT",
        "fraud_type": "VARCHAR",
        "status": "VARCHAR",
        "reported_at": "TIMESTAMP",
        "resolved_at": "TIMESTAMP",
    },
}


def column_index(table: str, column: str) -> int:
    """Position of a column in a row of that table."""
    return list(SCHEMAS[table]).index(column)


def empty_tables() -> Tables:
    """One empty list of rows per raw table."""
    return {name: [] for name in SCHEMAS}
