"""Up from a model, a table or a run to the data and code it came from, and down to what was made of it: from receipts alone.

Receipts say which run read which other runs' tables; notes of trainings say which receipts a model stands on; notes of
deployments where it went. Each thing is shown in full once; where it comes again, it says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.pipeline.receipt import Receipt, newest, receipt_of
from dbt_flow.records import TEST_TYPES
from dbt_flow.state.runs import NO_TARGET, RunRecord, find_runs
from dbt_flow.state.store import Store


@dataclass
class Thing:
    """A line of the tree."""

    kind: str
    """model, deployment, training, run, table, source."""
    name: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    below: list[Thing] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        more = {"facts": dict(self.facts)} if self.facts else {}
        return {"kind": self.kind, "name": self.name, **more, "below": [one.to_dict() for one in self.below]}


@dataclass(frozen=True)
class Traced:
    """Both directions from one thing."""

    up: Thing
    down: Thing
    damaged: tuple[str, ...] = ()
    """Receipts that are not what was written, in words: what they said is missing from both."""


def trace(store: Store, what: str, target: str | None = None) -> Traced:
    """Where a model, a table or a run comes from, and where it went. A run may be a DAG's, a training's, a deployment's.

    :raises InputError: ``unknown-run``: nobody knows it
    """
    found = _Known(store, target)
    both = found.both(what)
    if both is None:
        hint = "name a trained model, a table that a DAG builds, or a run: dbt-flow history DAG"
        raise InputError("unknown-run", f"no model, table or run is named {what}", hint=hint)
    return Traced(*both, tuple(found.damaged))


class _Known:
    """All that was written down, read once."""

    def __init__(self, store: Store, target: str | None) -> None:
        self.store, self.target = store, target
        self.models = list(self._notes("models"))
        self.deployments = list(self._notes("deployments"))
        self.reads = [one for flow in store.list("reads") for one in self._documents(f"reads/{flow}")]
        self.runs: dict[str, Receipt] = {}
        self.damaged: list[str] = []
        for ref in find_runs(store, None, target):
            try:
                receipt = receipt_of(RunRecord(store, ref))
            except DbtFlowError as error:
                self.damaged.append(error.message)
                continue
            if receipt is not None:
                self.runs[receipt["run"]] = receipt
        self._shown: set[str] = set()

    def _notes(self, kind: str) -> Iterator[dict[str, Any]]:
        for name in self.store.list(kind):
            yield from self._documents(f"{kind}/{name}")

    def _documents(self, prefix: str) -> Iterator[dict[str, Any]]:
        for name in self.store.list(prefix):
            with suppress(ValueError, DbtFlowError):
                document = json.loads(self.store.get(f"{prefix}/{name}") or b"")
                if isinstance(document, dict):
                    yield document

    # ---- finding

    def both(self, what: str) -> tuple[Thing, Thing] | None:
        """Up and down from whatever bears that name; None when nothing does."""
        model = self.model(what)
        if model is not None:
            return self.up_model(model), self.down_model(model)
        run = self.runs.get(what)
        if run is not None:
            return self.up_run(run), self.down_run(run)
        training = next((read for read in self.reads if read["run"] == what), None)
        if training is not None:
            return self.up_training(training), self.down_training(training)
        deployed = [one for one in self.deployments if one["run"] == what]
        if deployed:
            return self.up_deployment(deployed), Thing("deployment", what, f"deployment {what}")
        table = self.table(what)
        return (self.up_table(*table), self.down_table(*table)) if table else None

    def model(self, what: str) -> dict[str, Any] | None:
        """``carrier_risk`` (its newest version) or ``carrier_risk:VERSION``."""
        name, _, version = what.partition(":")
        mine = [one for one in self.models if one["model"] == name and version in ("", one["model_version"])]
        return max(mine, key=lambda one: str(one["at"]), default=None)

    def table(self, what: str) -> tuple[Receipt, Mapping[str, Any]] | None:
        """The newest receipt that knows a table, with what it says of it."""
        plain = what.replace('"', "")
        ids = set()
        for receipt in self.runs.values():
            for item in receipt["nodes"]:
                relation = str(item["relation"] or "").replace('"', "")
                if relation and plain in (item["id"], item["name"], relation, relation.rpartition(".")[2]):
                    ids.add(item["id"])
        targets = [self.target] if self.target else [one for one in self.store.list("runs") if one != NO_TARGET]
        found = [one for target in targets for one in newest(self.store, target, dict.fromkeys(sorted(ids))).values()]
        return max(found, key=lambda one: str(one[0]["finished"]), default=None)

    def _once(self, key: str, thing: Thing) -> bool:
        if key in self._shown:
            thing.text += " (above)"
            return False
        self._shown.add(key)
        return True

    # ---- up

    def up_deployment(self, deployed: list[dict[str, Any]]) -> Thing:
        """The models that a run has deployed."""
        run = str(deployed[0]["run"])
        thing = Thing("deployment", run, f"deployment {run}", deployed[0])
        for one in deployed:
            name = f"{one['model']}:{one['model_version']}"
            model = self.model(name)
            unknown = Thing("model", name, f"model {name}: nobody has noted its training")
            thing.below.append(self.up_model(model) if model else unknown)
        return thing

    def up_model(self, model: Mapping[str, Any]) -> Thing:
        """The training that made it."""
        name = f"{model['model']}:{model['model_version']}"
        thing = Thing("model", name, f"model {name}, trained {str(model['at'])[:19]}", model)
        read = next((one for one in self.reads if one["run"] == model["run"]), None)
        if read is not None:
            thing.below.append(self.up_training(read))
        else:
            thing.below += [self._up_named(run, digest) for run, digest in model["receipts"].items()]
        return thing

    def up_training(self, read: Mapping[str, Any]) -> Thing:
        """The tables that it read, each with the run that built it."""
        code = f", git {read['git'][:10]}" if read.get("git") else ""
        thing = Thing("training", read["run"], f"training {read['run']}{code}", {"at": read["at"], "git": read.get("git")})
        for name, facts in read["tables"].items():
            table = Thing("table", facts["id"], f"table {name}, built {str(facts['built'])[:19]}", facts)
            table.below.append(self._up_named(facts["run"], facts["digest"]))
            thing.below.append(table)
        return thing

    def _up_named(self, run: str, digest: str | None) -> Thing:
        receipt = self.runs.get(run)
        if receipt is None:
            return Thing("run", run, f"run {run}: its receipt is gone or damaged", {"digest": digest})
        thing = self.up_run(receipt)
        if digest is not None and receipt["digest"] != digest:
            thing.text += " (NOT the receipt that was read)"
        return thing

    def up_run(self, receipt: Receipt) -> Thing:
        """Its code and tests, the runs that it read, its sources."""
        tests = [item for item in receipt["nodes"] if item["type"] in TEST_TYPES]
        good = sum(1 for item in tests if item["was"] == "pass")
        code = f"git {receipt['git'][:10]}" if receipt["git"] else f"manifest {receipt['manifest']}"
        text = f"run {receipt['run']} {receipt['status']}, {good} of {len(tests)} tests pass, {code}"
        facts = {key: receipt[key] for key in ("digest", "git", "manifest", "plan", "status", "target", "started", "finished")}
        facts["tests_not_passed"] = {item["name"]: item["was"] for item in tests if item["was"] != "pass"}
        thing = Thing("run", receipt["run"], text, facts)
        if not self._once(f"up {receipt['run']}", thing):
            return thing
        by_run: dict[str, list[Mapping[str, Any]]] = {}
        for item in receipt["inputs"]:
            by_run.setdefault(item["run"], []).append(item)
        for run, items in by_run.items():
            above = self._up_named(run, items[0]["digest"])
            above.text += f": {', '.join(item['name'] for item in items)}"
            thing.below.append(above)
        for item in receipt["sources"]:
            thing.below.append(Thing("source", item["id"], f"source {item['relation'] or item['name']}", item))
        return thing

    def up_table(self, receipt: Receipt, item: Mapping[str, Any]) -> Thing:
        """The run that planned it last."""
        rows = f", {item['rows']:,} rows" if item["rows"] is not None else ""
        thing = Thing("table", item["id"], f"table {item['name']}, {item['status']}{rows}", item)
        thing.below.append(self.up_run(receipt))
        return thing

    # ---- down

    def down_table(self, receipt: Receipt, item: Mapping[str, Any]) -> Thing:
        """The tables that stand on it, in its own run and in those that read it; trainings; models; deployments."""
        thing = Thing("table", item["id"], f"table {item['name']} of {receipt['run']}")
        if not self._once(f"down {receipt['run']} {item['id']}", thing):
            return thing
        thing.below += [
            self.down_table(receipt, other)
            for other in receipt["nodes"]
            if other["relation"] and item["id"] in _parents(receipt, other) and not other["tests"]
        ]
        for other in self.runs.values():
            if any(one["id"] == item["id"] and _of(one, receipt) for one in other["inputs"]):
                thing.below += [
                    self.down_table(other, built)
                    for built in other["nodes"]
                    if built["relation"] and item["id"] in _parents(other, built) and not built["tests"]
                ]
        for read in self.reads:
            if any(facts["id"] == item["id"] and _of(facts, receipt) for facts in read["tables"].values()):
                thing.below.append(self.down_training(read))
        return thing

    def down_run(self, receipt: Receipt) -> Thing:
        """The runs that read it, and trainings."""
        thing = Thing("run", receipt["run"], f"run {receipt['run']} {receipt['status']}", {"digest": receipt["digest"]})
        if not self._once(f"down {receipt['run']}", thing):
            return thing
        for other in self.runs.values():
            if any(_of(item, receipt) for item in other["inputs"]):
                thing.below.append(self.down_run(other))
        for read in self.reads:
            if any(_of(facts, receipt) for facts in read["tables"].values()):
                thing.below.append(self.down_training(read))
        return thing

    def down_training(self, read: Mapping[str, Any]) -> Thing:
        """The models that came of it."""
        thing = Thing("training", read["run"], f"training {read['run']}")
        thing.below += [self.down_model(model) for model in self.models if model["run"] == read["run"]]
        return thing

    def down_model(self, model: Mapping[str, Any]) -> Thing:
        """Where it was deployed."""
        name = f"{model['model']}:{model['model_version']}"
        thing = Thing("model", name, f"model {name}")
        for one in self.deployments:
            if (one["model"], one["model_version"]) == (model["model"], model["model_version"]):
                text = f"deployed {str(one['at'])[:19]} as {one['kind']} by {one['run']}"
                thing.below.append(Thing("deployment", name, text, one))
        return thing


def _of(facts: Mapping[str, Any], receipt: Receipt) -> bool:
    """Whether what was read is a table that a run built, or that it passed on from another."""
    return receipt["run"] in (facts["run"], facts["built_in"])


def _parents(receipt: Receipt, item: Mapping[str, Any]) -> set[str]:
    """What a node reads, through ephemeral models."""
    inlined = {one["id"]: one["parents"] for one in receipt["inlined"]}
    found: set[str] = set()
    waiting = list(item["parents"])
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found.add(parent)
            waiting += inlined.get(parent, [])
    return found
