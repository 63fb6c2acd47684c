"""The slow tables: carriers, contacts, trucks, authorities, insurance, shippers, fuel."""

from __future__ import annotations

import math
from datetime import date, timedelta

from freight_world import STATES, Carrier, World, at, month_of, month_start
from raw_tables import Row, Tables

REGIONS = ("east_coast", "midwest", "gulf_coast", "rocky_mountain", "west_coast")
INDUSTRIES = ("food", "retail", "automotive", "chemicals", "building_materials", "electronics")
INSURERS = ("Prairie Mutual", "Harbor Casualty", "Northline", "Summit Specialty")
SHIPPERS = 120


def seen(day: date | None, as_of: date) -> date | None:
    """A date if it has already happened."""
    return day if day is not None and day < as_of else None


def add_registry(tables: Tables, world: World, carriers: list[Carrier], as_of: date) -> None:
    """Fill every table that describes a carrier."""
    for carrier in carriers:
        if carrier.registered_on >= as_of:
            continue
        revoked_on = _add_authority(tables["authorities"], world, carrier, as_of)
        _add_contacts(tables, carrier, as_of)
        _add_policies(tables["insurance_policies"], world, carrier, as_of, revoked_on)
        for truck in carrier.trucks:
            if truck.added_on < as_of:
                tables["trucks"].append(
                    (
                        truck.truck_id,
                        carrier.carrier_id,
                        truck.vin,
                        truck.model_year,
                        truck.added_on,
                        seen(truck.removed_on, as_of),
                    )
                )


def _add_contacts(tables: Tables, carrier: Carrier, as_of: date) -> None:
    known = [(when, who) for when, who in carrier.identities if when < at(as_of)]
    for number, (when, who) in enumerate(known):
        contact_id = f"{carrier.carrier_id}-{number}"
        row: Row = (contact_id, carrier.carrier_id, who.phone, who.address, who.bank, when)
        tables["carrier_contacts"].append(row)
    updated_at, who = known[-1]
    dot_number = 1_000_000 + carrier.carrier_id % 9_000_000
    tables["carriers"].append(
        (
            carrier.carrier_id,
            dot_number,
            carrier.name,
            who.phone,
            who.address,
            who.bank,
            carrier.state,
            carrier.registered_on,
            updated_at,
        )
    )


def _add_authority(rows: list[Row], world: World, carrier: Carrier, as_of: date) -> date | None:
    rng = world.rng("authority", carrier.carrier_id)
    revoked_on, reason = None, None
    end = month_start(carrier.last_month + 1)
    if carrier.burst and rng.random() < 0.8:
        revoked_on, reason = end + timedelta(days=rng.randint(5, 75)), "fraud_finding"
    elif not carrier.burst and rng.random() < 0.25:
        revoked_on, reason = end + timedelta(days=rng.randint(5, 75)), "insurance_lapsed"
    revoked_on = seen(revoked_on, as_of)
    kind = "common" if rng.random() < 0.8 else "contract"
    rows.append(
        (
            f"MC{carrier.carrier_id}",
            carrier.carrier_id,
            kind,
            carrier.registered_on,
            revoked_on,
            reason if revoked_on else None,
        )
    )
    return revoked_on


def _add_policies(rows: list[Row], world: World, carrier: Carrier, as_of: date, revoked_on: date | None) -> None:
    rng = world.rng("insurance", carrier.carrier_id)
    start = carrier.registered_on
    until = min(as_of, revoked_on or as_of, month_start(carrier.last_month + 1))
    number = 0
    while start < until:
        expires = start + timedelta(days=365)
        cancelled = None
        if rng.random() < (0.18 if carrier.burst else 0.06):
            cancelled = start + timedelta(days=rng.randint(45, 300))
        rows.append(
            (
                f"P{carrier.carrier_id}-{number}",
                carrier.carrier_id,
                rng.choice(INSURERS),
                rng.choice((750_000, 1_000_000, 1_000_000, 2_000_000)),
                start,
                expires,
                seen(cancelled, as_of),
            )
        )
        late = rng.randint(5, 40) if rng.random() < (0.35 if carrier.burst else 0.1) else 0
        start = (cancelled or expires) + timedelta(days=late)
        number += 1


def add_shippers(rows: list[Row], world: World) -> None:
    """Shippers are few, and have been there since before the first load."""
    for shipper_id in range(1, SHIPPERS + 1):
        rng = world.rng("shipper", shipper_id)
        onboarded = date(2016, 1, 1) + timedelta(days=rng.randint(0, 1500))
        name = f"Shipper {shipper_id:03d}"
        rows.append((shipper_id, name, rng.choice(INDUSTRIES), rng.choice(STATES), onboarded))


def fuel_price(world: World, region: str, week: date) -> float:
    """Diesel in a region and week: a slow wave, a regional level, and noise."""
    level = 3.55 + 0.13 * REGIONS.index(region)
    wave = 0.32 * math.sin(week.toordinal() / 97.0) + 0.11 * math.sin(week.toordinal() / 23.0)
    return level + wave + world.rng("fuel", region, week).gauss(0, 0.025)


def add_fuel_prices(rows: list[Row], world: World, first_month: int, as_of: date) -> None:
    """One price per region and week, on Mondays."""
    week = month_start(first_month)
    week -= timedelta(days=week.weekday())
    while week < as_of:
        for region in REGIONS:
            rows.append((region, week, f"{fuel_price(world, region, week):.3f}"))
        week += timedelta(days=7)


def in_business(carrier: Carrier, month: int) -> bool:
    """True for carriers that seek loads in a month after the one they registered in."""
    return month > month_of(carrier.registered_on) and carrier.weight(month) > 0
