"""``Look``: what the target says of relations, so that a later look can tell whether anything has changed.

What a stamp is made from depends on the adapter:

- DuckDB and PostgreSQL: a digest of all rows, whatever their order, computed by the database in one pass. It tells every
  change, whoever made it. Beyond :data:`MOST_ROWS` rows it is not taken.
- adapters with dbt's capability ``TableLastModifiedMetadata`` (Snowflake and others): when a table was last altered.
- a source for which there is neither: the highest ``loaded_at_field``, or what ``loaded_at_query`` says, by dbt's own code.

Everything else has no stamp, and what has no stamp is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from dbt.adapters.capability import Capability
from dbt.adapters.factory import get_adapter, register_adapter, reset_adapters
from dbt.context.providers import generate_runtime_macro_context

from dbt_flow.project.macro_uses import digest
from dbt_flow.project.parsing import Parsed
from dbt_flow.project.place import working_in
from dbt_flow.project.refusals import refusal
from dbt_flow.project.seams import freshness, invocation
from dbt_flow.records import Stamp

MOST_ROWS = 20_000_000
"""Of a table whose rows are read for a stamp; what is larger needs metadata or a ``loaded_at_field``."""

_AT_ONCE = 40  # relations whose rows one statement reads

_ROW = '"dbt_flow row"'
"""The alias of a relation's rows: no column bears it."""

_DUCKDB = """
select lower(database_name), lower(schema_name), lower(table_name), 'table', coalesce(estimated_size, 0), null
from duckdb_tables() where lower(schema_name) in ({schemas}) and not temporary
union all
select lower(database_name), lower(schema_name), lower(view_name), 'view', 0, sql
from duckdb_views() where lower(schema_name) in ({schemas}) and not temporary
"""
_DUCKDB_COLUMNS = """
select lower(database_name), lower(schema_name), lower(table_name),
  string_agg(column_name || ' ' || data_type, ', ' order by column_index)
from duckdb_columns() where lower(schema_name) in ({schemas}) group by 1, 2, 3
"""
_POSTGRES = """
select lower(current_database()), lower(n.nspname), lower(c.relname),
  case c.relkind when 'r' then 'table' when 'p' then 'table' when 'v' then 'view' else c.relkind::text end,
  greatest(c.reltuples, 0)::bigint, case when c.relkind = 'v' then pg_get_viewdef(c.oid) end
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and lower(n.nspname) in ({schemas})
"""
_POSTGRES_COLUMNS = """
select lower(current_database()), lower(n.nspname), lower(c.relname),
  string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where a.attnum > 0 and not a.attisdropped and lower(n.nspname) in ({schemas}) group by 1, 2, 3
"""
_CATALOGS: Mapping[str, tuple[str, str, str]] = {
    "duckdb": (
        _DUCKDB,
        _DUCKDB_COLUMNS,
        f"concat_ws(' ', count(*), sum(hash({_ROW})), bit_xor(hash({_ROW})))",
    ),
    "postgres": (
        _POSTGRES,
        _POSTGRES_COLUMNS,
        f"concat_ws(' ', count(*), sum(hashtextextended({_ROW}::text, 0)::numeric))",
    ),
}
"""By adapter: what relations there are, their columns, and an expression over all rows that does not depend on their order."""

Name = tuple[str, str, str]


@contextmanager
def look(parsed: Parsed) -> Iterator[Look]:
    """Ask the target about relations, by dbt's own adapter, in this process.

    :raises ProjectError: the warehouse cannot be reached.
    """
    path = parsed.target.path
    if path is not None and not Path(path).exists():  # a DuckDB file that is not there is not made
        yield Look(parsed, None)
        return
    with working_in(parsed.project.folder), invocation.flags_of(["build", *parsed.arguments()]):
        register_adapter(parsed.config, get_context("spawn"))
        try:
            adapter = get_adapter(parsed.config)
            adapter.set_macro_resolver(parsed.manifest)
            adapter.set_macro_context_generator(generate_runtime_macro_context)
            try:
                yield Look(parsed, adapter)
            finally:
                adapter.cleanup_connections()
        finally:
            reset_adapters()


class Look:
    """One look, over one connection."""

    def __init__(self, parsed: Parsed, adapter: Any) -> None:
        self._parsed = parsed
        self._adapter = adapter
        self._sizes: dict[str, int] = {}

    def stamps(self, ids: Iterable[str], rows: Callable[[str, Stamp], bool]) -> dict[str, Stamp]:
        """A stamp for each of ``ids`` that is there.

        :param rows: whether the rows of a relation matter, given what is known without them.
        :raises ProjectError: the warehouse does not answer.
        """
        if self._adapter is None:
            return {}
        relations = self._relations(ids)
        try:
            kind = self._adapter.type()
            if kind in _CATALOGS:
                found = self._catalogue(relations, _CATALOGS[kind])
                wanted = {
                    key: relations[key] for key, stamp in found.items() if self._sizes[key] <= MOST_ROWS and rows(key, stamp)
                }
                for key, data in self._contents(wanted, _CATALOGS[kind][2]).items():
                    found[key] = replace(found[key], data=data, by="contents")
            else:
                found = self._metadata(relations)
            for key in relations:
                stamp = found.get(key)
                if key in self._parsed.manifest.sources and (stamp is None or (stamp.data is None and rows(key, stamp))):
                    loaded = freshness.loaded_at(self._adapter, self._parsed.config, self._parsed.manifest, key)
                    if loaded is not None:
                        found[key] = replace(stamp or Stamp("external", ""), data=loaded, by="loaded_at")
        except Exception as error:
            raise refusal(error, self._parsed.project, code="warehouse") from error
        return found

    def _relations(self, ids: Iterable[str]) -> dict[str, Any]:
        manifest = self._parsed.manifest
        nodes = {key: manifest.nodes.get(key) or manifest.sources.get(key) for key in ids}
        create = self._adapter.Relation.create_from
        return {key: create(self._parsed.config, node) for key, node in nodes.items() if node is not None}

    def _catalogue(self, relations: Mapping[str, Any], sql: tuple[str, str, str]) -> dict[str, Stamp]:
        names = {key: _name(relation) for key, relation in relations.items()}
        schemas = ", ".join(sorted({"'" + schema.replace("'", "''") + "'" for _, schema, _ in names.values()}))
        if not schemas:
            return {}
        there = {tuple(row[:3]): row[3:] for row in self._ask(sql[0].format(schemas=schemas))}
        columns = {tuple(row[:3]): str(row[3]) for row in self._ask(sql[1].format(schemas=schemas))}
        found = {}
        for key, name in names.items():
            if name in there:
                kind, size, text = there[name]
                self._sizes[key] = int(size)
                found[key] = Stamp(str(kind), digest(columns.get(name, "")), definition=digest(text) if text else None)
        return found

    def _contents(self, relations: Mapping[str, Any], expression: str) -> dict[str, str]:
        """A digest of the rows of each relation; none for one that cannot be read."""
        keys = list(relations)
        found: dict[str, str] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            found.update(self._read(part, relations, expression))
        return found

    def _read(self, keys: list[str], relations: Mapping[str, Any], expression: str) -> dict[str, str]:
        # Relations are quoted by the adapter, and the expression is one of ours.
        parts = [f"select {at}, (select {expression} from {relations[key]} as {_ROW})" for at, key in enumerate(keys)]  # noqa: S608
        try:
            return {keys[int(index)]: digest(text) for index, text in self._ask("\nunion all ".join(parts))}
        except Exception:
            if len(keys) == 1:  # a view whose tables are gone, a relation that may not be read
                return {}
            return {key: text for one in keys for key, text in self._read([one], relations, expression).items()}

    def _metadata(self, relations: Mapping[str, Any]) -> dict[str, Stamp]:
        """When each relation was last altered, where the adapter knows; of a view that says nothing of rows."""
        adapter = self._adapter
        found: dict[str, Stamp] = {}
        there: dict[Name, str] = {}
        times: dict[Name, str] = {}
        with adapter.connection_named("dbt-flow-look"):
            schemas = {_name(relation)[:2]: (relation.database, relation.schema) for relation in relations.values()}
            for database, schema in schemas.values():
                for item in adapter.list_relations(database, schema):
                    # Two names that differ in case alone: dbt's answer would not say whose time it is.
                    kind = "" if _name(item) in there else str(getattr(item.type, "value", item.type))
                    there[_name(item)] = kind
            kept = {key: relation for key, relation in relations.items() if _name(relation) in there}
            if adapter.supports(Capability.TableLastModifiedMetadata):
                # One database at a time: dbt tells its answers apart by schema and name.
                for database in {_name(relation)[0] for relation in kept.values()}:
                    here = [relation for relation in kept.values() if _name(relation)[0] == database]
                    _, altered = adapter.calculate_freshness_from_metadata_batch(here, self._parsed.manifest)
                    told = {_name(relation): answer["max_loaded_at"] for relation, answer in altered.items()}
                    # For a time that the warehouse does not know dbt gives the year 1.
                    times.update({name: at.isoformat() for name, at in told.items() if at.year > 1})
        for key, relation in kept.items():
            kind, at = there[_name(relation)], times.get(_name(relation))
            is_dynamic = bool(getattr(relation, "is_dynamic_table", False))
            data = at if kind == "table" and not is_dynamic else None
            found[key] = Stamp(
                kind, at or "", data=data, definition=at if kind == "view" else None, by="metadata" if data else ""
            )
        return found

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        with self._adapter.connection_named("dbt-flow-look"):
            _, cursor = self._adapter.connections.add_query(sql, auto_begin=False)
            return list(cursor.fetchall())


def _name(relation: Any) -> Name:
    return (str(relation.database).lower(), str(relation.schema).lower(), str(relation.identifier).lower())
