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

from dbt_flow.errors import DbtFlowError, InputError, RunFailed
from dbt_flow.ml.notes import note_read
from dbt_flow.pipeline.receipt import Receipt, receipt_of_run
from dbt_flow.pipeline.words import standing_of
from dbt_flow.plan.needs import Contract, Word, judge, still_as_chosen
from dbt_flow.run.lock import database_lock
from dbt_flow.settings import load_settings
from dbt_flow.state.runs import RunRecord, find_runs
from dbt_flow.state.store import FolderStore, Store
from dbt_flow.yamlfile import did_you_mean

PINNED = "dbt_receipts"
"""The artifact in which a run keeps what it reads: target, and for each table run, digest, relation, time, rows."""


def receipt(run: str) -> Receipt:
    """The receipt of a run, ``CarrierRisk/123``, checked against its digest.

    :raises InputError: ``unknown-run``: there is no such run here, or it goes on
    :raises StateError: ``receipt-damaged``: it is not what was written
    """
    found = receipt_of_run(FolderStore(load_settings().state), run)
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
        store = FolderStore(load_settings().state)
        run = f"{current.flow_name}/{current.run_id}"
        pinned = getattr(flow, PINNED, None)
        if pinned is None or pinned["by"] != run:  # `resume` brings those of the run that it resumes
            pinned = {"by": run, **_choose(store, contract, run)}
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
            raise _changed(f"the receipt of {facts['run']} is another one than when this run chose it")
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
        return self._read(table, query, "df")

    def arrow(self, table: str, query: str | None = None) -> Any:
        """The table as a pyarrow Table; ``query`` as for :meth:`pandas`."""
        return self._read(table, query, "to_arrow_table")

    def _read(self, table: str, query: str | None, form: str) -> Any:
        try:
            __import__({"df": "pandas", "to_arrow_table": "pyarrow"}[form])
        except ImportError as error:
            hint = "pip install 'dbt-flow[training]'"
            raise InputError("missing-extra", f"reading needs {error.name}, which is not installed", hint=hint) from None
        facts = self[table]
        path = self._database(facts["run"])
        who = f"{self._pinned['by']} (reads {table})"
        with database_lock(path, who, lambda text: print(text, file=sys.stderr)), self.reading(table) as relation:
            import duckdb  # noqa: PLC0415 - only for who reads

            with duckdb.connect(str(path), read_only=True) as connection:
                rows = connection.execute(f"select count(*) from {relation}").fetchall()[0][0]  # noqa: S608 - dbt's own name
                if facts["rows"] is not None and rows != facts["rows"]:
                    raise _changed(f"{table} has {rows:,} rows, and {facts['built_in']} built {facts['rows']:,}")
                sql = (query or "select * from {table}").replace("{table}", relation)
                return getattr(connection.execute(sql), form)()

    def _database(self, run: str) -> Path:
        """The DuckDB file of a run's target.

        :raises InputError: the target is another kind of warehouse
        """
        flow, _, number = run.partition("/")
        for ref in find_runs(self._store, None, self._pinned["target"]):
            if ref.number == number and receipt_of_run(self._store, run):
                kept = RunRecord(self._store, ref).get("artifacts.json") or {}
                if kept.get("database"):
                    return Path(kept["database"])
        hint = "read it with your own client: with self.receipts.reading(TABLE) as relation: ..."
        raise InputError("needs-not-met", f"{flow} does not build into a DuckDB file that this machine can open", hint=hint)

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
            raise _changed(trouble[1])
        if trouble:
            raise _not_met(self._pinned["by"], [trouble[1]])

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
        raise _not_met(run, reasons)
    return {"target": standing.target, "tables": {word.name: _facts(word) for word in standing.words.values() if word}}


def _facts(word: Word) -> dict[str, Any]:
    return {
        "id": word.node,
        "run": word.run,
        "digest": word.digest,
        "relation": word.relation,
        "built_in": word.built_in,
        "built": word.built,
        "rows": word.rows,
    }


def _not_met(run: str, reasons: list[str]) -> DbtFlowError:
    hint = "mend what is named, or say in @needs(accept=[...]) what is good enough"
    return RunFailed("needs-not-met", f"{run} may not read: {'; '.join(reasons)}", hint=hint)


def _changed(message: str) -> DbtFlowError:
    hint = "nothing was read: with @retry the step reads the new one; else run the flow again"
    return RunFailed("table-changed", message, hint=hint)
