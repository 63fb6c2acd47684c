"""The fast tables, a month at a time: loads, offers, trips, fraud, roadside checks.

A month is generated whole and then cut at the as-of date, so that tomorrow's extract
repeats today's rows and adds or finishes some.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from freight_registry import SHIPPERS, in_business
from freight_world import STATES, Carrier, Truck, World, at, month_start
from raw_tables import Tables

EQUIPMENT = {"van": 1.0, "reefer": 1.18, "flatbed": 1.1}
VIOLATIONS = ("BRK", "TIR", "LGT", "HOS", "LOG", "SPD", "SEC", "DRG")
LOADS_A_MONTH = 1_420


@dataclass(frozen=True)
class Booking:
    """A load with the carrier that won it."""

    load_id: int
    carrier: Carrier
    posted: datetime
    booked: datetime
    pickup: datetime
    due: datetime
    delivered: datetime
    miles: int
    equipment: str
    market_usd: float
    rate_usd: float
    fraud_type: str | None
    cancelled: bool


class Month:
    """Everything that happens on the marketplace in one month."""

    def __init__(self, world: World, month: int, carriers: Sequence[Carrier], as_of: date) -> None:
        self.world = world
        self.month = month
        self.cut = at(as_of)
        self.days = (month_start(month + 1) - month_start(month)).days
        self.carriers = [carrier for carrier in carriers if in_business(carrier, month)]
        self.weights = [carrier.weight(month) for carrier in self.carriers]

    def add_to(self, tables: Tables) -> None:
        """Append the month's rows to the raw tables."""
        rng = self.world.rng("loads", self.month)
        season = 1.0 + 0.12 * (self.month % 12 in (8, 9, 10)) - 0.1 * (self.month % 12 in (0, 1))
        count = self.world.scaled(LOADS_A_MONTH * season, rng)
        winners = rng.choices(self.carriers, self.weights, k=count)
        others = rng.choices(self.carriers, self.weights, k=count * 3)
        for number, carrier in enumerate(winners):
            booking = self._book(number, carrier, rng)
            rivals = others[number * 3 : number * 3 + rng.randint(1, 3)]
            shipper, lane = rng.randrange(SHIPPERS) + 1, rng.choices(STATES, k=2)
            if booking.posted < self.cut:  # after all draws, so that the day does not change them
                self._add_load(tables, booking, shipper, lane)
                self._add_offers(tables, booking, rivals)
                self._add_trip(tables, booking)
                self._add_report(tables, booking)
        self._add_empty_trips(tables)
        self._add_roadside(tables)

    def _book(self, number: int, carrier: Carrier, rng: random.Random) -> Booking:
        posted = at(month_start(self.month), rng.uniform(0, self.days) * 86_400)
        booked = posted + timedelta(minutes=rng.randint(20, 1_800))
        pickup = booked + timedelta(minutes=rng.randint(300, 3_600))
        miles = int(min(max(rng.lognormvariate(6.2, 0.6), 60), 2_600))
        due = pickup + timedelta(minutes=int(miles / 48 * 60) + 240)
        slack = rng.gauss(-120, 110) + 160 * carrier.carelessness
        fraud = None
        if carrier.cheats(self.month) and rng.random() < 0.38:
            fraud = rng.choice(("double_brokering", "double_brokering", "cargo_theft", "identity_theft"))
        bid = rng.gauss(0.945, 0.08) if carrier.hungry(self.month) else rng.gauss(1.0, 0.075)
        equipment = rng.choices(list(EQUIPMENT), (6, 3, 2))[0]
        market = (180 + miles * rng.gauss(2.05, 0.12)) * EQUIPMENT[equipment]
        return Booking(
            load_id=self.month * 100_000 + number,
            carrier=carrier,
            posted=posted,
            booked=booked,
            pickup=pickup,
            due=due,
            delivered=max(due + timedelta(minutes=int(slack)), pickup + timedelta(hours=1)),
            miles=miles,
            equipment=equipment,
            market_usd=market,
            rate_usd=market * bid,
            fraud_type=fraud,
            cancelled=fraud is None and rng.random() < 0.03,
        )

    def _add_load(self, tables: Tables, load: Booking, shipper: int, lane: list[str]) -> None:
        lost = load.fraud_type == "cargo_theft"
        steps = [("posted", load.posted), ("booked", load.booked)]
        if load.cancelled:
            steps.append(("cancelled", load.booked + timedelta(hours=2)))
        else:
            steps.append(("in_transit", load.pickup))
            late = timedelta(days=9) if lost else timedelta()
            steps.append(("lost" if lost else "delivered", load.delivered + late))
        done = dict(step for step in steps if step[1] < self.cut)
        status, updated_at = list(done.items())[-1]
        booked = "booked" in done
        tables["loads"].append(
            (
                load.load_id,
                shipper,
                load.carrier.carrier_id if booked else None,
                *lane,
                load.equipment,
                load.miles,
                f"{load.rate_usd:.2f}" if booked else None,
                status,
                load.posted,
                done.get("booked"),
                None if load.cancelled else load.pickup,
                load.due,
                done.get("delivered"),
                updated_at,
            )
        )

    def _add_offers(self, tables: Tables, load: Booking, rivals: list[Carrier]) -> None:
        rng = self.world.rng("offers", load.load_id)
        taken = load.booked < self.cut
        rows = [(load.carrier, load.booked - timedelta(minutes=7), load.rate_usd, "accepted")]
        for rival in rivals:
            if rival is not load.carrier:
                span = (load.booked - load.posted).total_seconds()
                when = load.posted + timedelta(seconds=int(span * rng.uniform(0.1, 0.95)))
                rows.append((rival, when, load.market_usd * rng.gauss(1.06, 0.07), "rejected"))
        for number, (carrier, when, amount, status) in enumerate(rows):
            if when < self.cut:
                tables["offers"].append(
                    (
                        load.load_id * 10 + number,
                        load.load_id,
                        carrier.carrier_id,
                        f"{amount:.2f}",
                        status if taken else "open",
                        when,
                    )
                )

    def _truck(self, carrier: Carrier, day: date, rng: random.Random) -> Truck | None:
        owned = [
            truck for truck in carrier.trucks if truck.added_on < day and (truck.removed_on is None or truck.removed_on > day)
        ]
        return rng.choice(owned) if owned else None

    def _add_trip(self, tables: Tables, load: Booking) -> None:
        rng = self.world.rng("trip", load.load_id)
        brokered = load.fraud_type == "double_brokering"
        if load.cancelled or load.fraud_type == "cargo_theft" or rng.random() > (0.5 if load.fraud_type else 0.72):
            return
        driver = load.carrier
        if rng.random() < (0.6 if brokered else 0.035):  # honest carriers lease now and then
            driver = rng.choice(self.carriers)
        truck = self._truck(driver, load.pickup.date(), rng)
        if truck and load.delivered < self.cut:
            self._append_trip(tables, truck, (load.load_id, load.miles), driver, load.pickup)

    def _append_trip(
        self,
        tables: Tables,
        truck: Truck,
        job: tuple[int | None, int],
        driver: Carrier,
        started: datetime,
    ) -> None:
        load_id, miles = job
        trip_id = f"T{truck.truck_id}-{started:%y%m%d%H%M%S}"
        rng = self.world.rng("drive", trip_id)
        ended = started + timedelta(minutes=int(miles * 60 / rng.uniform(46, 58)) + 30)
        brakes = int(miles / 1000 * rng.expovariate(1 / (0.6 + 5 * driver.carelessness)))
        speed = int(rng.gauss(66 + 9 * driver.carelessness, 3))
        tables["trips"].append((trip_id, truck.truck_id, load_id, started, ended, miles, speed, brakes))

    def _add_empty_trips(self, tables: Tables) -> None:
        rng = self.world.rng("empty", self.month)
        for carrier in rng.choices(self.carriers, self.weights, k=self.world.scaled(640, rng)):
            started = at(month_start(self.month), rng.uniform(0, self.days) * 86_400)
            truck = self._truck(carrier, started.date(), rng)
            miles = rng.randint(20, 400)
            if truck and started + timedelta(days=1) < self.cut:
                self._append_trip(tables, truck, (None, miles), carrier, started)

    def _add_report(self, tables: Tables, load: Booking) -> None:
        rng = self.world.rng("report", load.load_id)
        if load.cancelled or rng.random() > (0.92 if load.fraud_type else 0.004):
            return
        kind = load.fraud_type or rng.choice(("double_brokering", "cargo_theft", "payment_dispute"))
        reported = load.pickup + timedelta(hours=rng.randint(30, 400))
        resolved = reported + timedelta(hours=rng.randint(48, 500))
        if reported >= self.cut:
            return
        verdict = "confirmed" if load.fraud_type and rng.random() < 0.95 else "dismissed"
        closed = resolved < self.cut
        tables["fraud_reports"].append(
            (
                f"R{load.load_id}",
                load.load_id,
                load.carrier.carrier_id,
                kind,
                verdict if closed else "open",
                reported,
                resolved if closed else None,
            )
        )

    def _add_roadside(self, tables: Tables) -> None:
        rng = self.world.rng("roadside", self.month)
        for carrier, weight in zip(self.carriers, self.weights, strict=True):
            day = month_start(self.month) + timedelta(days=rng.randrange(self.days))
            stopped = rng.random() < 0.16 * min(weight, 4)
            crashed = rng.random() < 0.02 * min(weight, 4) * (0.3 + 3 * carrier.carelessness)
            truck = self._truck(carrier, day, rng)
            if truck is None or at(day) >= self.cut:
                continue
            if stopped:
                self._add_inspection(tables, carrier, truck, day)
            if crashed:
                injuries, deaths = rng.choice(((0, 0), (0, 0), (1, 0), (2, 0), (0, 1)))
                crash_id = f"X{truck.truck_id}-{day:%y%m%d}"
                tables["crashes"].append((crash_id, carrier.carrier_id, truck.truck_id, day, injuries, deaths))

    def _add_inspection(self, tables: Tables, carrier: Carrier, truck: Truck, day: date) -> None:
        inspection_id = f"I{truck.truck_id}-{day:%y%m%d}"
        rng = self.world.rng("inspection", inspection_id)
        found = rng.sample(VIOLATIONS, k=min(int(rng.expovariate(1) * (0.4 + 3 * carrier.carelessness)), 5))
        grounded = bool(found) and rng.random() < 0.15 + 0.4 * carrier.carelessness
        tables["inspections"].append(
            (
                inspection_id,
                carrier.carrier_id,
                truck.truck_id,
                day,
                rng.choice(STATES),
                rng.choices((1, 2, 3), (3, 4, 5))[0],
                grounded,
            )
        )
        for number, code in enumerate(found):
            tables["violations"].append((f"{inspection_id}-{number}", inspection_id, code))
