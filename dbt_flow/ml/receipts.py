"""``self.receipts`` in a flow with ``@needs``: which runs built its tables, and a reader that notices when they change.

The receipts are chosen once for a run, when first asked for, and kept as its artifact ``dbt_receipts``. A table is then read
only while the records say that it is still what those runs built: looked at before the read and after it. On DuckDB nobody
can write in between, because the reader holds the lock that every run takes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metaflow import current

from dbt_flow.errors import InputError
from dbt_flow.ml.guard import MayNotRead, changed, not_met
from dbt_flow.ml.notes import note_read
from dbt_flow.ml.readers import TRAVELLERS, library, open_reader
from dbt_flow.ml.reading import Ask, CannotTravel, Form, Found, Place, Reader
from dbt_flow.pipeline.phrases import standing_of
from dbt_flow.pipeline.receipt import Receipt, receipt_of_run
from dbt_flow.plan.needs import Contract, Word, judge, still_as_chosen, too_old
from dbt_flow.project.place import DbtProject
from dbt_flow.settings import load_settings
from dbt_flow.state.places import store_of
from dbt_flow.state.runs import RunRecord, RunRef
from dbt_flow.state.store import Store
from dbt_flow.yamlfile import did_you_mean

PINNED = "dbt_receipts"
"""The artifact in which a run keeps what it reads: target, moment, and for each table run, digest, relation, time, rows."""


def receipt(run: str) -> Receipt:
    """The receipt of a run, ``CarrierRisk/123``, checked against its digest.

    :raises InputError: ``unknown-run``: there is no such run here, or it goes on
    :raises StateError: ``receipt-damaged``: it is not what was written
    """
    found = receipt_of_run(store_of(load_settings()), run)
    if found is None:
        raise InputError("unknown-run", f"there is no receipt of {run}", hint="see which runs there are: dbt-flow history DAG")
    return found


class Receipts(Mapping[str, Mapping[str, Any]]):
    """What a flow may read: by table name, the facts of the run that built it."""

    def __init__(self, store: Store, contract: Contract, pinned: Mapping[str, Any]) -> None:
        self._store = store
        self._contract = contract
        self._pinned = pinned

    @classmethod
    def of(cls, flow: Any, contract: Contract) -> Receipts:
        """The receipts of a flow's run: those that it chose before, else those that are good now.

        :raises RunFailed: ``needs-not-met``, with every reason
        """
        store = store_of(load_settings())
        run = f"{current.flow_name}/{current.run_id}"
        pinned = getattr(flow, PINNED, None)
        if pinned is None or pinned["by"] != run:  # `resume` brings those of the run that it resumes
            pinned = {"by": run, **_choose(store, contract, run)}
            pinned["moment"] = cls(store, contract, pinned).moment()
            setattr(flow, PINNED, pinned)
            note_read(store, run, current.pathspec, pinned)
        return cls(store, contract, pinned)

    # ---- what was chosen

    def __getitem__(self, table: str) -> Mapping[str, Any]:
        """The facts of a table: ``run``, ``digest``, ``relation``, ``built``, ``built_in``, ``rows``."""
        tables: Mapping[str, Mapping[str, Any]] = self._pinned["tables"]
        for name, facts in tables.items():
            if table in (name, facts["id"], facts["relation"]):
                return facts
        near = did_you_mean(table, tables)
        hint = f"did you mean {near}?" if near else "name it in @needs"
        raise InputError("needs-not-met", f"{table} is not among what this flow needs", hint=hint)

    def __iter__(self) -> Iterator[str]:
        return iter(self._pinned["tables"])

    def __len__(self) -> int:
        return len(self._pinned["tables"])

    @property
    def digests(self) -> dict[str, str]:
        """The runs whose receipts these are, each with the receipt's digest: what a model bears to tell its data."""
        return {facts["run"]: facts["digest"] for facts in self.values()}

    def receipt(self, table: str) -> Receipt:
        """The whole receipt behind a table, checked against its digest and against the one that was chosen.

        :raises RunFailed: ``table-changed``: it is another one
        """
        facts = self[table]
        found = receipt_of_run(self._store, facts["run"])
        if found is None or found["digest"] != facts["digest"]:
            raise changed(f"the receipt of {facts['run']} is another one than when this run chose it")
        return found

    # ---- reading

    @contextmanager
    def reading(self, table: str) -> Iterator[str]:
        """``with self.receipts.reading("fct_loads") as relation:`` read it there, by whatever client you like.

        :raises RunFailed: ``table-changed``: it was built anew since the run chose it, or while it was read
        """
        self._check(table)
        yield str(self[table]["relation"])
        self._check(table)

    def pandas(self, table: str, query: str | None = None) -> Any:
        """The table as a pandas DataFrame.

        :param query: SQL that reads ``{table}``: ``select carrier_id from {table} where ...``
        """
        return self._read(table, query, "pandas")

    def arrow(self, table: str, query: str | None = None) -> Any:
        """The table as a pyarrow Table; ``query`` as for :meth:`pandas`."""
        return self._read(table, query, "arrow")

    def _read(self, table: str, query: str | None, form: Form) -> Any:
        library(form)
        facts = self[table]
        ask = Ask(str(facts["relation"]), query or "select * from {table}", form)
        with open_reader(self._place(table)) as reader:
            try:
                with self.reading(table):
                    found = reader.read(ask)
                    self._same_rows(table, found)
            except MayNotRead as error:
                if error.code != "table-changed":
                    raise
                found = self._as_it_was(table, reader, ask, error)
        return found.data

    def _as_it_was(self, table: str, reader: Reader, ask: Ask, error: MayNotRead) -> Found:
        """The table as of when the run chose it, where the warehouse can show that; else the error."""
        moment = self._pinned.get("moment")
        if moment is None:
            raise error
        self._still_fresh(table)
        try:
            found = reader.read(ask, as_of=moment)
        except CannotTravel as why:
            raise changed(f"{error.reason}; {why}") from None
        self._same_rows(table, found)
        print(f"{table} is read as of {moment}: {error.reason}", file=sys.stderr)
        return found

    def _place(self, table: str) -> Place:
        """Where the run has built that a table was chosen from."""
        facts, target = self[table], str(self._pinned["target"])
        said = self.receipt(table)
        ref = RunRef(target, said["dag"], facts["run"].partition("/")[2])
        record, settings = RunRecord(self._store, ref), load_settings()
        heads = [attempt.header for attempt in record.attempts()]
        folder = next((head["project"] for head in heads if head.get("project")), None)
        project = DbtProject(settings.root / folder if folder else settings.dbt_project, settings.profiles_dir, target)
        database = (record.get("artifacts.json") or {}).get("database")
        return Place(
            adapter=str(said["adapter"]),
            project=project,
            database=Path(database) if database else None,
            who=f"{self._pinned['by']} (reads {table})",
            waiting=lambda text: print(text, file=sys.stderr),
        )

    def _still_fresh(self, table: str) -> None:
        """That what was chosen is not too old by now.

        :raises RunFailed: ``needs-not-met``
        """
        reason = too_old(self._contract, table, self[table]["checked"], time.time())
        if reason:
            raise not_met(self._pinned["by"], [reason])

    def moment(self) -> str | None:
        """What time it is in the warehouse now, for reading as of then; None where it cannot show what was.

        :raises RunFailed: ``table-changed``: a table is no longer what was chosen
        """
        table = next(iter(self), None)
        place = self._place(table) if table else None
        if place is None or place.adapter not in TRAVELLERS:
            return None
        with open_reader(place) as reader:
            moment = reader.now()
        for each in self:  # a build that began in between has said so before it touched its table
            self._check(each)
        return moment

    def _same_rows(self, table: str, found: Found) -> None:
        facts = self[table]
        if facts["rows"] is not None and found.rows != facts["rows"]:
            raise changed(f"{table} has {found.rows:,} rows, and {facts['built_in']} built {facts['rows']:,}")

    def _check(self, table: str) -> None:
        """That the table is what it was when the run chose it.

        :raises RunFailed: ``table-changed``, ``needs-not-met``
        """
        facts = self[table]
        self.receipt(table)
        chosen = Contract(tables=(facts["id"],), target=self._pinned["target"])
        word = standing_of(self._store, chosen).words.get(facts["id"])
        build = f"{facts['built_in']} {facts['built']}"
        trouble = still_as_chosen(self._contract_of(table), build, table, word, time.time())
        if trouble and trouble[0] == "table-changed":
            raise changed(trouble[1])
        if trouble:
            raise not_met(self._pinned["by"], [trouble[1]])

    def _contract_of(self, table: str) -> Contract:
        plain = self._contract.to_dict()
        return Contract.from_dict({**plain, "tables": (table,), "exposure": None, "dags": ()})


def _choose(store: Store, contract: Contract, run: str) -> dict[str, Any]:
    """What is good now.

    :raises RunFailed: ``needs-not-met``
    """
    standing = standing_of(store, contract)
    reasons = judge(contract, standing.words, time.time())
    if reasons:
        raise not_met(run, reasons)
    return {"target": standing.target, "tables": {word.name: _facts(word) for word in standing.words.values() if word}}


def _facts(word: Word) -> dict[str, Any]:
    return {
        "id": word.node,
        "run": word.run,
        "digest": word.digest,
        "relation": word.relation,
        "built_in": word.built_in,
        "built": word.built,
        "checked": word.checked,
        "rows": word.rows,
    }
