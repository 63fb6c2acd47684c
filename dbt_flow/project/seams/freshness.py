"""When a source was last loaded, as ``dbt source freshness`` asks it; and that command without the project's hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbt.clients import jinja
from dbt.context.providers import RuntimeProvider, SourceContext
from dbt.task.freshness import FreshnessTask


@contextmanager
def without_hooks() -> Iterator[None]:
    """Inside the block ``dbt source freshness`` runs no hooks of the project: they belong to the run, once."""
    before = FreshnessTask.get_hooks_by_type
    FreshnessTask.get_hooks_by_type = lambda _task, _type: []
    try:
        yield
    finally:
        FreshnessTask.get_hooks_by_type = before


def loaded_at(adapter: Any, config: Any, manifest: Any, key: str) -> str | None:
    """The source's ``loaded_at_query`` or the highest ``loaded_at_field``, as text; None for a source that has neither."""
    source = manifest.sources[key]
    relation = adapter.Relation.create_from(config, source)
    query = getattr(source, "loaded_at_query", None)  # since dbt 1.10
    with adapter.connection_named(key, source):
        if query:
            context = SourceContext(source, config, manifest, RuntimeProvider(), None).to_dict()
            sql = jinja.get_rendered(query, context, source)
            _, answer = adapter.calculate_freshness_from_custom_sql(relation, sql, macro_resolver=manifest)
        elif source.loaded_at_field:
            _, answer = adapter.calculate_freshness(relation, source.loaded_at_field, None, macro_resolver=manifest)
        else:
            return None
    return str(answer["max_loaded_at"].isoformat())
