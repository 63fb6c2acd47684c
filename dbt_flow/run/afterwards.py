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

_TABLES = "select database_name, schema_name, table_name, estimated_size from duckdb_tables() where not temporary"
_MOST_COUNTED, _MOST_ROWS = 400, 500_000_000
"""Tables, and rows of all of them, up to which DuckDB is asked to count; that costs it milliseconds. Beyond, its estimate
is taken: deleted rows that were not yet vacuumed are in it."""

Key = tuple[str, str, str]
"""A relation's database, schema and name, in lower case."""


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
    """On DuckDB, rows of the tables that were built and of the sources; other adapters tell of what they wrote themselves."""
    if adapter.type() != "duckdb":
        return
    results, _ = recorder.snapshot()
    built = (node for node, result in results.items() if result.status not in (SKIPPED, "reused") and result.good)
    wanted = _relations(manifest.nodes[node] for node in built if node in manifest.nodes)
    sources = _relations(manifest.sources.values())
    counts = _counted(adapter, {*wanted.values(), *sources.values()})
    for node, key in wanted.items():
        if key in counts:
            recorder.enrich(node, {"rows": counts[key]})
    recorder.sources = {node: counts[key] for node, key in sources.items() if key in counts}


def _relations(nodes: Iterable[Any]) -> dict[str, Key]:
    found = {}
    for node in nodes:
        name = getattr(node, "identifier", None) or getattr(node, "alias", "")
        # A test that stores its failures has a table, and no rows of its own.
        if str(getattr(node.resource_type, "value", node.resource_type)) not in ("test", "unit_test"):
            found[node.unique_id] = (str(node.database).lower(), str(node.schema).lower(), str(name).lower())
    return found


def _counted(adapter: Any, wanted: set[Key]) -> dict[Key, int]:
    """Rows of those of ``wanted`` that are tables; to count a view would be to run it."""
    _, table = adapter.execute(_TABLES, auto_begin=False, fetch=True)
    named = [(tuple(str(part) for part in row[:3]), int(row[3])) for row in table.rows]
    found = {tuple(part.lower() for part in name): (name, size) for name, size in named}
    there = {key: found[key] for key in wanted if key in found}
    if not there or len(there) > _MOST_COUNTED or sum(size for _, size in there.values()) > _MOST_ROWS:
        return {key: size for key, (_, size) in there.items()}
    keys = [*there]
    quoted = (".".join('"' + part.replace('"', '""') + '"' for part in there[key][0]) for key in keys)
    counts = (f"select {at} as place, count(*) as number from {name}" for at, name in enumerate(quoted))  # noqa: S608
    _, table = adapter.execute(" union all ".join(counts), auto_begin=False, fetch=True)
    return {keys[int(row[0])]: int(row[1]) for row in table.rows}


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
