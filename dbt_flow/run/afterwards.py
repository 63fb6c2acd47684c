"""What is looked at once dbt has ended and its adapter is still there: row counts, and a few of a failing test's rows.

All of it is worth little beside the run: it is bounded in time and size, and whatever goes wrong costs only what it would show.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dbt.adapters.factory import get_adapter

from dbt_flow.records import SKIPPED, NodeResult
from dbt_flow.run.recorder import Recorder
from dbt_flow.run.sampling import may_show, sample, whole_rows

WITHIN = 10.0
"""Seconds for all of it together."""
MOST_SAMPLED = 12
"""Failing tests whose rows are looked at; what failed first comes first."""

_COUNTS: Mapping[str, str] = {
    # One look at the catalogue, no scan. DuckDB says what a table holds, deleted rows not yet vacuumed included.
    "duckdb": "select lower(database_name), lower(schema_name), lower(table_name), estimated_size from duckdb_tables()",
}


def look(config: Any, manifest: Any, recorder: Recorder, sample_rows: int, cancel: Callable[[], None]) -> None:
    """Enrich what ``recorder`` knows; returns within :data:`WITHIN`, when the warehouse is slow by giving up.

    :param cancel: takes back what runs in the warehouse.
    """

    def work() -> None:
        try:
            adapter = get_adapter(config)
            with adapter.connection_named("dbt-flow-afterwards"):
                _rows(adapter, manifest, recorder)
                if sample_rows:
                    _samples(adapter, manifest, recorder, sample_rows)
        except Exception as error:
            recorder.afterwards = f"{type(error).__name__}: {error}"

    worker = threading.Thread(target=work, name="dbt-flow-afterwards", daemon=True)
    worker.start()
    worker.join(WITHIN)
    if worker.is_alive():
        recorder.afterwards = f"it took longer than {WITHIN:g} s"
        cancel()
        worker.join(1.0)


def _rows(adapter: Any, manifest: Any, recorder: Recorder) -> None:
    query = _COUNTS.get(adapter.type())
    if query is None:
        return
    _, table = adapter.execute(query, auto_begin=False, fetch=True)
    found = {(str(row[0]), str(row[1]), str(row[2])): int(row[3]) for row in table.rows}
    results, _ = recorder.snapshot()
    built = (node for node, result in results.items() if result.status not in (SKIPPED, "reused") and result.good)
    counts = _counted(found, (manifest.nodes[node] for node in built if node in manifest.nodes))
    for node, rows in counts.items():
        recorder.enrich(node, {"rows": rows})
    recorder.sources = _counted(found, manifest.sources.values())


def _counted(found: Mapping[tuple[str, str, str], int], nodes: Iterable[Any]) -> dict[str, int]:
    counts = {}
    for node in nodes:
        name = getattr(node, "identifier", None) or getattr(node, "alias", "")
        key = (str(node.database).lower(), str(node.schema).lower(), str(name).lower())
        # A test that stores its failures has a table, and no rows of its own.
        if key in found and str(getattr(node.resource_type, "value", node.resource_type)) != "test":
            counts[node.unique_id] = found[key]
    return counts


def _samples(adapter: Any, manifest: Any, recorder: Recorder, most: int) -> None:
    results, _ = recorder.snapshot()
    failed = [result for result in results.values() if result.status in ("fail", "warn") and result.failures]
    failed.sort(key=lambda result: (result.status != "fail", result.started or ""))
    for result in failed[:MOST_SAMPLED]:
        shown = _sample_of(adapter, manifest, result, most)
        if shown is not None:
            recorder.enrich(result.id, {"sample": shown})


def _sample_of(adapter: Any, manifest: Any, result: NodeResult, most: int) -> Mapping[str, Any] | None:
    node = manifest.nodes.get(result.id)
    if node is None or not result.compiled:
        return None
    rows = whole_rows(node, result.compiled).rstrip().rstrip(";")
    # Standard enough for every warehouse that dbt builds tests on; the fetch is bounded besides.
    query = f"select * from (\n{rows}\n) as dbt_flow_sample limit {int(most)}"  # noqa: S608
    try:
        _, table = adapter.execute(query, auto_begin=False, fetch=True, limit=most)
    except Exception:
        return None
    return sample(table.column_names, table.rows, may_show(manifest, node), most)
