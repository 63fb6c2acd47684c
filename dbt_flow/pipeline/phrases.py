"""What the records say now of the tables that a flow needs, a :class:`~dbt_flow.plan.needs.Word` each. Loads without dbt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbt_flow.errors import InputError
from dbt_flow.pipeline.receipt import LOOK_BACK, Receipt, newest, receipt_of
from dbt_flow.pipeline.settle import settle_dead
from dbt_flow.plan.needs import Contract, Word, troubles
from dbt_flow.records import SUCCESS, flow_name
from dbt_flow.state.runs import NO_TARGET, RunRecord, find_runs
from dbt_flow.state.store import Store
from dbt_flow.yamlfile import did_you_mean


@dataclass(frozen=True)
class Standing:
    """How the tables of a contract stand."""

    target: str
    words: dict[str, Word | None]
    """By node id; by the name that was said, for what no run knows."""
    producers: dict[str, tuple[str, ...]]
    """The DAGs that build them, each with the ids that it builds."""
    owners: tuple[str, ...] = ()
    """Whose it is to look, first the nearest: the owner of the exposure, as dbt knows it, then those of the DAGs."""


def standing_of(store: Store, contract: Contract) -> Standing:
    """How what a contract names stands now.

    :raises InputError: a name means several tables, or there are several targets.
    """
    targets = _targets(store, contract)
    building = {target: _being_built(store, target) for target in targets}
    latest = {target: _latest(store, target) for target in targets}
    latest = {target: said for target, said in latest.items() if said}
    named = {target: said for target, said in latest.items() if _knows(contract, said)} or latest
    if len(named) > 1:
        names = ", ".join(sorted(named))
        raise InputError("needs-not-met", f"{contract.text} on which target: {names}?", hint="say it: @needs(..., target=NAME)")
    if not named:
        nothing = contract.tables or (contract.exposure or "", *contract.dags)
        return Standing(contract.target or NO_TARGET, dict.fromkeys(name for name in nothing if name), {})
    target, said = next(iter(named.items()))
    found = _resolve(contract, said)
    known = newest(store, target, {key: None for key, one in found.items() if one})
    words: dict[str, Word | None] = dict.fromkeys(name for name, one in found.items() if not one)
    for key, (receipt, item) in known.items():
        words[key] = Word(
            node=key,
            name=item["name"],
            run=receipt["run"],
            digest=receipt["digest"],
            relation=item["relation"],
            built_in=item["built_in"],
            built=item["built"],
            checked=item["checked"],
            rows=item["rows"],
            troubles=(*troubles(receipt, key), *_whole(contract, receipt)),
            rebuilt_by=building[target].get(key),
            follows=receipt["follows"],
        )
    producers: dict[str, tuple[str, ...]] = dict.fromkeys(contract.dags, ())
    for key, (receipt, _) in known.items():
        dag = receipt["dag"]
        if not contract.dags or dag in contract.dags:
            producers[dag] = (*producers.get(dag, ()), key)
    owners = [*_owners(contract, said), *(said[dag]["owner"] for dag in sorted(producers) if dag in said)]
    return Standing(target, words, producers, tuple(dict.fromkeys(owner for owner in owners if owner)))


def _owners(contract: Contract, latest: dict[str, Receipt]) -> Iterator[str]:
    """Who owns the exposure, in dbt."""
    for said in latest.values():
        for item in said["exposures"]:
            if contract.exposure and contract.exposure in (item["id"], item["name"]):
                yield str(item.get("owner") or "")


def _whole(contract: Contract, receipt: Receipt) -> tuple[tuple[str, str], ...]:
    """With DAGs and no tables the whole run must be good."""
    if contract.tables or contract.exposure or receipt["status"] == SUCCESS:
        return ()
    return ((receipt["status"], f"{receipt['run']} is {receipt['status']}"),)


def _targets(store: Store, contract: Contract) -> list[str]:
    return [contract.target] if contract.target else [name for name in store.list("runs") if name != NO_TARGET]


def _latest(store: Store, target: str) -> dict[str, Receipt]:
    """The newest receipt with a plan of each DAG on a target."""
    found: dict[str, Receipt] = {}
    for dag in store.list(f"runs/{target}"):
        for index, ref in enumerate(find_runs(store, dag, target)):
            said = receipt_of(RunRecord(store, ref)) if index < LOOK_BACK else None
            if said is not None and said["plan"]:
                found[dag] = said
                break
    return found


def _knows(contract: Contract, latest: dict[str, Receipt]) -> bool:
    return any(_resolve(contract, latest).values()) if latest else False


def _resolve(contract: Contract, latest: dict[str, Receipt]) -> dict[str, bool]:
    """The ids of the tables; a name that no run knows stands as it was said, with False."""
    items = [item for said in latest.values() for item in said["nodes"] if item["relation"] and item["type"] != "test"]
    found: dict[str, bool] = {}
    if contract.exposure:
        found |= dict(_read_by(contract.exposure, latest))
    for name in contract.tables:
        ids = {item["id"] for item in items if name in _names(item)}
        if len(ids) > 1:
            raise InputError(
                "needs-not-met", f"{name} means several tables: {', '.join(sorted(ids))}", hint="name one by its id"
            )
        found[next(iter(ids), name)] = bool(ids)
    if not (contract.tables or contract.exposure):
        for dag in contract.dags:
            mine = latest.get(dag)
            built = [item["id"] for item in mine["nodes"] if item["relation"] and not item["tests"]] if mine else []
            found |= dict.fromkeys(built, True) if built else {dag: False}
    return found


def _names(item: Receipt) -> tuple[str, ...]:
    relation = str(item["relation"])
    plain = relation.replace('"', "").replace("`", "")
    return (item["id"], item["name"], relation, plain, plain.rpartition(".")[2])


def _read_by(exposure: str, latest: dict[str, Receipt]) -> Iterator[tuple[str, bool]]:
    inlined = {item["id"]: item["parents"] for said in latest.values() for item in said["inlined"]}
    known = [item for said in latest.values() for item in said["exposures"]]
    mine = [item for item in known if exposure in (item["id"], item["name"])]
    if not mine:
        near = did_you_mean(exposure, [item["name"] for item in known])
        yield (f"what the exposure {exposure} reads" + (f" (did you mean {near}?)" if near else "")), False
    waiting = [parent for item in mine for parent in item["parents"]]
    seen: set[str] = set()
    while waiting:
        parent = waiting.pop()
        if parent in seen:
            continue
        seen.add(parent)
        if parent in inlined:
            waiting += inlined[parent]
        elif parent.startswith(("model.", "seed.", "snapshot.")):
            known_id = any(item["id"] == parent for said in latest.values() for item in said["nodes"])
            yield parent, known_id


def _being_built(store: Store, target: str) -> dict[str, str]:
    """What runs have begun to build that have not ended; one that died without a word is settled on the way."""
    found: dict[str, str] = {}
    for dag in store.list(f"runs/{target}"):
        for index, ref in enumerate(find_runs(store, dag, target)):
            if index >= LOOK_BACK:
                break
            record = RunRecord(store, ref)
            if "result.json" in store.list(ref.folder):
                continue
            begun = {node for attempt in record.attempts() for node in attempt.started}
            if begun and settle_dead(store, ref.dag, ref.number) is None:
                found |= dict.fromkeys(begun, f"{flow_name(ref.dag)}/{ref.number}")
    return found
