"""Who takes part: carriers, their trucks and identities, and the rings among them.

The world is absolute: what happens in a month depends on the seed and that month
alone, never on the day on which it is looked at. The data as of tomorrow is the
data as of today plus a day, which is what incremental models and snapshots need.

A month is an integer, ``year * 12 + month - 1``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cache
from hashlib import sha256

STATES = tuple("TX CA FL IL GA OH PA TN NC IN MO AZ WA CO NJ NY MI KS UT LA".split())  # noqa: SIM905
NAME_HEADS = ("Blue", "Prairie", "Lone", "Iron", "Summit", "Eagle", "River", "Red", "Cedar", "Golden", "Swift", "Coastal")
NAME_TAILS = ("Freight", "Trucking", "Logistics", "Haulage", "Transport", "Express", "Carriers", "Lines")
STREETS = ("Depot Rd", "Mill St", "Commerce Blvd", "Airport Way", "Harbor Dr", "Industrial Pkwy", "Main St")

TAKEOVER_AGE = 18  # months from registration to the day a ring buys a sleeping carrier
LONGEST_SPAN = 48  # months a carrier stays on the market at most
DISPATCHERS = 45  # honest services whose phone and address many small carriers share


def month_of(day: date) -> int:
    """The month a day lies in."""
    return day.year * 12 + day.month - 1


def month_start(month: int) -> date:
    """The first day of a month."""
    return date(month // 12, month % 12 + 1, 1)


def at(day: date, seconds: float = 0) -> datetime:
    """That many seconds after a day's midnight, without fractions."""
    return datetime.combine(day, time()) + timedelta(seconds=int(seconds))


@dataclass(frozen=True)
class Identity:
    """What a carrier can be reached and paid by."""

    phone: str
    address: str
    bank: str


@dataclass(frozen=True)
class Truck:
    """A truck in a carrier's fleet list. Two carriers may list the same VIN."""

    truck_id: int
    vin: str
    model_year: int
    added_on: date
    removed_on: date | None = None


@dataclass(frozen=True)
class Ring:
    """A group that shares identities: new registrations and bought sleepers."""

    key: str
    identity: Identity
    vins: tuple[str, ...]
    fresh: int
    takeovers: tuple[int, ...]


@dataclass
class Carrier:
    """A carrier, with everything it will ever do decided at registration."""

    carrier_id: int
    cohort: int
    name: str
    state: str
    registered_on: date
    size: float
    carelessness: float
    last_month: int
    gap: tuple[int, int] | None = None
    burst: tuple[int, int] | None = None
    boost: float = 1.0
    identities: list[tuple[datetime, Identity]] = field(default_factory=list)
    trucks: list[Truck] = field(default_factory=list)

    def weight(self, month: int) -> float:
        """How much business the carrier seeks in a month."""
        if self.burst and self.burst[0] <= month <= self.burst[1]:
            return self.size * self.boost
        if not self.cohort <= month <= self.last_month or (self.burst and month > self.burst[1]):
            return 0.0
        if self.gap and self.gap[0] <= month <= self.gap[1]:
            return 0.0
        return self.size

    def hungry(self, month: int) -> bool:
        """True in a burst, when any price will do."""
        return self.burst is not None and self.burst[0] <= month <= self.burst[1]

    def cheats(self, month: int) -> bool:
        """True once a burst has passed its first month, which builds trust."""
        return self.burst is not None and self.burst[0] < month <= self.burst[1]


class World:
    """All carriers and rings of one seed. Nothing here knows today's date."""

    def __init__(self, seed: int, scale: float) -> None:
        self.seed = seed
        self.scale = scale
        self.cohort = cache(self._cohort)
        self.rings = cache(self._rings)

    def rng(self, *key: object) -> random.Random:
        """A random stream of its own for each key, the same in every process."""
        return random.Random(":".join(map(str, (self.seed, *key))))

    def scaled(self, mean: float, rng: random.Random) -> int:
        """A count with this mean at scale 1, rounded by chance."""
        return int(mean * self.scale + rng.random())

    def identity(self, *key: object) -> Identity:
        """Contact details of their own for each key."""
        rng = self.rng("identity", *key)
        phone = f"+1{rng.randint(201, 989)}{rng.randint(2_000_000, 9_999_999)}"
        address = f"{rng.randint(1, 9999)} {rng.choice(STREETS)}, {rng.choice(STATES)}"
        return Identity(phone, address, sha256(rng.randbytes(8)).hexdigest()[:16])

    def vin(self, *key: object) -> str:
        """A 17 character vehicle number."""
        rng = self.rng("vin", *key)
        return "1F" + "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=15))

    def carriers(self, first_month: int, last_month: int) -> list[Carrier]:
        """Carriers still around in or after the first month, registered by the last."""
        months = range(first_month - LONGEST_SPAN, last_month + 1)
        return [carrier for month in months for carrier in self.cohort(month) if carrier.last_month >= first_month]

    def _rings(self, month: int) -> list[Ring]:
        rng = self.rng("rings", month)
        rings = []
        for number in range(self.scaled(0.9, rng)):
            own = self.identity("ring", month, number)
            old = self.identity("ring", month - rng.randint(4, 9), 0)
            reuse = rng.random() < 0.45  # an identity that was burnt some months ago
            identity = Identity(old.phone if reuse else own.phone, own.address, own.bank)
            members = rng.randint(3, 5)
            bought = min(rng.randint(0, 2), members)
            vins = tuple(self.vin("ring", month, number, i) for i in range(2))
            takeovers = tuple(number * 4 + i for i in range(bought))
            rings.append(Ring(f"{month}.{number}", identity, vins, members - bought, takeovers))
        return rings

    def _cohort(self, month: int) -> list[Carrier]:
        rng = self.rng("cohort", month)
        count = max(4, self.scaled(23, rng))
        bought = {seq: ring for ring in self.rings(month + TAKEOVER_AGE) for seq in ring.takeovers}
        carriers = []
        for seq in range(count):
            carrier = self._honest(month, seq, rng)
            if seq in bought:
                self._take_over(carrier, bought[seq], rng)
            elif rng.random() < 0.05:
                self._turn(carrier, rng)
            carriers.append(carrier)
        for ring in self.rings(month):
            for _ in range(ring.fresh):
                carriers.append(self._fresh_member(month, len(carriers), ring, rng))
        return carriers

    def _honest(self, month: int, seq: int, rng: random.Random) -> Carrier:
        carrier_id = (month // 12 % 100 * 100 + month % 12 + 1) * 10_000 + seq
        registered_on = month_start(month) + timedelta(days=rng.randint(0, 27))
        carrier = Carrier(
            carrier_id=carrier_id,
            cohort=month,
            name=f"{rng.choice(NAME_HEADS)} {rng.choice(NAME_TAILS)} {seq + 1:02d}{month % 12 + 1:02d} LLC",
            state=rng.choice(STATES),
            registered_on=registered_on,
            size=min(rng.lognormvariate(0.0, 0.7), 8.0),
            carelessness=rng.betavariate(2, 6),
            last_month=month + rng.randint(6, LONGEST_SPAN),
        )
        if rng.random() < 0.22:
            start = month + rng.randint(4, 24)
            carrier.gap = (start, start + rng.randint(3, 8))
        carrier.identities.append((at(registered_on, 36_000), self._contact(month, seq, rng)))
        if rng.random() < 0.3:  # honest people move house and change banks too
            moved = at(registered_on + timedelta(days=rng.randint(90, 900)), 50_000)
            old, new = carrier.identities[0][1], self.identity("moved", month, seq)
            carrier.identities.append((moved, Identity(new.phone, new.address, old.bank)))
        self._add_trucks(carrier, rng)
        return carrier

    def _contact(self, month: int, seq: int, rng: random.Random) -> Identity:
        own = self.identity("carrier", month, seq)
        dispatcher = self.identity("dispatcher", rng.randrange(DISPATCHERS))
        sister = self.identity("carrier", month, max(seq - 1, 0))
        chance = rng.random()
        if chance < 0.12:
            return Identity(dispatcher.phone, own.address, own.bank)
        if chance < 0.20:
            return Identity(dispatcher.phone, dispatcher.address, own.bank)
        if chance < 0.25:
            return Identity(own.phone, sister.address, sister.bank)
        return own

    def _add_trucks(self, carrier: Carrier, rng: random.Random) -> None:
        for number in range(max(1, round(carrier.size * rng.uniform(1.0, 2.5)))):
            truck_id = carrier.carrier_id * 100 + number
            vin = self.vin(truck_id)
            if rng.random() < 0.03:  # bought from a carrier of a year ago, honestly
                vin = self.vin((carrier.carrier_id - 1_000_000) * 100)
            added = carrier.registered_on + timedelta(days=rng.randint(0, 20))
            sold = added + timedelta(days=rng.randint(200, 700)) if rng.random() < 0.1 else None
            carrier.trucks.append(Truck(truck_id, vin, rng.randint(2008, 2024), added, sold))

    def _take_over(self, carrier: Carrier, ring: Ring, rng: random.Random) -> None:
        start = carrier.cohort + TAKEOVER_AGE
        carrier.gap = (start - rng.randint(4, 9), start - 1)
        self._start_burst(carrier, start + rng.randint(0, 1), rng)
        moved = at(month_start(start) - timedelta(days=rng.randint(1, 25)), 50_000)
        carrier.identities = [known for known in carrier.identities if known[0] < moved]
        self._join(carrier, ring, moved, rng)

    def _turn(self, carrier: Carrier, rng: random.Random) -> None:
        start = carrier.cohort + rng.randint(3, 20)
        self._start_burst(carrier, start, rng)

    def _fresh_member(self, month: int, seq: int, ring: Ring, rng: random.Random) -> Carrier:
        carrier = self._honest(month, seq, rng)
        carrier.gap = None
        self._start_burst(carrier, month + rng.randint(2, 9), rng)
        registered = carrier.identities[0][0]
        carrier.identities = [(registered, self.identity("carrier", month, seq))]
        self._join(carrier, ring, registered, rng)
        del carrier.identities[0]  # it has the ring's details from its first day
        return carrier

    def _start_burst(self, carrier: Carrier, month: int, rng: random.Random) -> None:
        carrier.burst = (month, month + rng.randint(2, 4))
        carrier.last_month = carrier.burst[1]
        carrier.size = max(carrier.size, 0.8)
        carrier.boost = rng.uniform(1.4, 4.0)

    def _join(self, carrier: Carrier, ring: Ring, when: datetime, rng: random.Random) -> None:
        """Use some of the ring's details, so that no single one gives it away."""
        own, ours = carrier.identities[-1][1], ring.identity
        mixed = Identity(
            ours.phone if rng.random() < 0.65 else own.phone,
            ours.address if rng.random() < 0.45 else own.address,
            ours.bank if rng.random() < 0.45 else own.bank,
        )
        carrier.identities.append((when, mixed))
        if rng.random() < 0.5:
            number = len(carrier.trucks)
            truck_id = carrier.carrier_id * 100 + number
            vin = rng.choice(ring.vins)
            carrier.trucks.append(Truck(truck_id, vin, 2015, when.date()))
