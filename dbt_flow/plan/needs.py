"""What a flow needs of the tables that it reads, and whether it has that: pure, no disk, no clock.

``@needs`` of :mod:`dbt_flow.ml` writes a :class:`Contract`. For each table there is a :class:`Word`: what the newest run that
planned it says of it. :func:`judge` compares the two; :func:`decide` says whether the flow starts, waits or is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dbt_flow.records import GOOD, RECORD_VERSION, TEST_TYPES, Record, utc_moment

SOFTENED, MISSING = "softened", "missing"
"""What ``accept`` may say beside dbt's own words: a failure that ``tests.on_fail: warn`` turned into a warning; a run that
started without an upstream that it waits for (``otherwise: run``)."""

ATTRIBUTE = "__dbt_flow_needs__"
"""Where a flow's class bears its contract, as plain JSON: read without knowing :mod:`dbt_flow.ml`."""

ACCEPTED = ("success", "pass")


@dataclass(frozen=True)
class Contract(Record):
    """What a flow reads, and how good that must be."""

    dags: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    """Names or ids of models, seeds, snapshots; relations."""
    exposure: str | None = None
    max_age: float | None = None
    """Seconds since a table was built."""
    accept: tuple[str, ...] = ACCEPTED
    target: str | None = None
    """The dbt target; None for the only one that there is."""
    version: int = RECORD_VERSION

    @property
    def text(self) -> str:
        """What it needs, in words."""
        read = [f"what {self.exposure} reads"] if self.exposure else list(self.tables)
        return f"{' and '.join(read or self.dags)} {'are' if len(read or self.dags) > 1 else 'is'} good"


@dataclass(frozen=True)
class Word:
    """What the newest run that planned a table says of it."""

    node: str
    name: str
    run: str
    """``CarrierRisk/12``."""
    digest: str
    """Of that run's receipt."""
    relation: str | None
    built_in: str
    """The run that built it: an earlier one, when the newest reused it."""
    built: str | None
    """When it was built."""
    checked: str | None
    """When it was last known to be what its code and data make of it."""
    rows: int | None = None
    troubles: tuple[tuple[str, str], ...] = ()
    """Why it may not be good: a word that ``accept`` may name, and a sentence."""
    rebuilt_by: str | None = None
    """A run that is building it now, or died while it did."""
    follows: str | None = None

    @property
    def build(self) -> str:
        """Tells one build of the table from another."""
        return f"{self.built_in} {self.built}"


def troubles(receipt: Mapping[str, Any], node: str) -> tuple[tuple[str, str], ...]:
    """Why a table may not be good, by the receipt of the run that planned it.

    Its own state, its own tests, failures that were softened anywhere above it, and what the run read from other runs.
    """
    nodes = {item["id"]: item for item in receipt["nodes"]}
    above, reads = _above(receipt, node)
    found = [_said(nodes[node], receipt)]
    for item in receipt["nodes"]:
        if item["type"] not in TEST_TYPES:
            if item["id"] in above and item["was"] not in GOOD:
                found.append(_said(item, receipt))
            continue
        tested = {item.get("tests"), *item["parents"]}
        if node in tested or (tested & above and (item["softened"] or item["was"] not in GOOD)):
            found.append(_said(item, receipt))
    found += [(MISSING, f"{receipt['run']} started without {name}") for name in receipt["missing"]]
    for item in receipt["inputs"]:
        if item["id"] in reads:
            found += [(str(word), str(text)) for word, text in item["troubles"]]
    return tuple(dict.fromkeys(one for one in found if one))


def _said(item: Mapping[str, Any], receipt: Mapping[str, Any]) -> tuple[str, str]:
    word = SOFTENED if item["softened"] else str(item["was"])
    more = ", and only warns because of tests.on_fail" if item["softened"] else ""
    verb = "failed" if item["softened"] else f"is {word}"
    return word, f"{item['name']} {verb} in {receipt['run']}{more}"


def _above(receipt: Mapping[str, Any], node: str) -> tuple[set[str], set[str]]:
    """What a node stands on, in its run; and what of other runs that reads."""
    parents = {item["id"]: item["parents"] for item in (*receipt["inlined"], *receipt["nodes"])}
    others = {item["id"] for item in receipt["inputs"]}
    above: set[str] = set()
    waiting = [node]
    while waiting:
        for parent in parents.get(waiting.pop(), ()):
            if parent not in above:
                above.add(parent)
                waiting.append(parent)
    return above, above & others


def judge(contract: Contract, words: Mapping[str, Word | None], now: float) -> list[str]:
    """Why the flow may not read its tables: a sentence each; empty when all of them are good."""
    found: list[str] = []
    for name, word in words.items():
        if word is None:
            found.append(f"no run has built {name} yet")
            continue
        if word.rebuilt_by:
            found.append(f"{word.name} is being built by {word.rebuilt_by}")
        found += [text for kind, text in word.troubles if kind not in contract.accept]
        old = too_old(contract, word.name, word.checked, now)
        found += [old] if old else []
    return list(dict.fromkeys(found))


def too_old(contract: Contract, name: str, checked: str | None, now: float) -> str | None:
    """A sentence when a table that was last good at ``checked`` is older than the contract allows."""
    if contract.max_age is None:
        return None
    age = now - utc_moment(checked).timestamp() if checked else None
    if age is not None and age <= contract.max_age:
        return None
    old = f"{age / 3600:.1f} h old" if age is not None else "of an unknown age"
    return f"{name} is {old}, older than {contract.max_age / 3600:g} h"


def still_as_chosen(contract: Contract, build: str, name: str, word: Word | None, now: float) -> tuple[str, str] | None:
    """Whether a table is what it was when it was chosen, and good; else an error's code and a sentence."""
    if word is None:
        return "table-changed", f"no run knows {name} any more"
    if word.rebuilt_by:
        return "table-changed", f"{name} is being built anew by {word.rebuilt_by}"
    reasons = judge(contract, {word.node: word}, now)
    if word.build != build:
        what = f"{name} was built anew by {word.built_in} since this run chose {build.partition(' ')[0]}"
        return "table-changed", "; ".join([what, *reasons])
    if reasons:
        return "needs-not-met", "; ".join(reasons)
    return None


@dataclass(frozen=True)
class Decided:
    """Whether a flow starts."""

    kind: Literal["start", "hold", "wait", "ignore"]
    reasons: tuple[str, ...] = ()
    builds: Mapping[str, str] = field(default_factory=dict)
    """Of ``start``: the build of each table that it starts with."""


def decide(
    contract: Contract,
    arrived: Iterable[str],
    producers: Iterable[str],
    words: Mapping[str, Word | None],
    fired: Mapping[str, str],
    now: float,
) -> Decided:
    """What becomes of a flow when a run has ended.

    :param arrived: the DAGs of which a run has ended since the flow was last started
    :param producers: the DAGs that build what it reads
    :param fired: the builds with which it was last started
    """
    late = sorted(set(producers) - set(arrived))
    if late:
        return Decided("wait", tuple(late))
    reasons = judge(contract, words, now)
    if reasons:
        return Decided("hold", tuple(reasons))
    builds = {name: word.build for name, word in words.items() if word}
    if builds == dict(fired):
        return Decided("ignore", ("nothing that it reads was built anew",))
    return Decided("start", builds=builds)


def brings_news(words: Iterable[Word], fired: Mapping[str, str]) -> bool:
    """Whether the end of a run counts: not when it only repeats, as a retry does, what the flow was started with already."""
    mine = list(words)
    return not mine or any(not word.follows or fired.get(word.node) != word.build for word in mine)
