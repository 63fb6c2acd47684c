"""``on-run-start`` and ``on-run-end`` once for a run, however many calls of dbt it takes.

The seam is a row of the table in :mod:`.engine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbt.artifacts.resources.types import RunHookType
from dbt.artifacts.schemas.results import RunStatus, TestStatus
from dbt.contracts.results import RunResult
from dbt.flags import get_flags
from dbt_common.events.contextvars import task_contextvars

from dbt_flow.records import NodeResult

START, END = "on-run-start", "on-run-end"


@dataclass
class Hooks:
    """Which of the project's hooks one call of dbt runs, and what the last ones are told."""

    run: frozenset[str] = frozenset({START, END})
    before: Mapping[str, NodeResult] = field(default_factory=dict)
    """Results of the run's other calls: ``results`` and ``schemas`` of ``on-run-end`` tell of them too."""
    halted: bool = False
    """Set when ``on-run-start`` failed and the project wants nothing built then (``skip_nodes_if_on_run_start_fails``)."""


def with_hooks(task: type[Any], hooks: Hooks, *, alone: bool) -> type[Any]:
    """A subclass of dbt's build task that runs these hooks and no others.

    :param alone: there is nothing to build; dbt itself would then run no hook.
    """

    class Hooked(task):  # type: ignore[misc]
        def run(self) -> Any:
            if not (alone and hooks.run):
                return super().run()
            with task_contextvars(project_root=self.config.project_root):
                self._runtime_initialize()
                return self.execute_with_hooks(frozenset())

        def safe_run_hooks(self, adapter: Any, hook_type: Any, extra_context: dict[str, Any]) -> Any:
            if hook_type == RunHookType.Start and START not in hooks.run:
                return RunStatus.Success
            if hook_type == RunHookType.End:
                if END not in hooks.run:
                    return RunStatus.Success
                extra_context = _with_others(extra_context, _as_dbt_has_them(self.manifest, hooks.before))
            status = super().safe_run_hooks(adapter, hook_type, extra_context)
            if hook_type == RunHookType.Start and status != RunStatus.Success:
                hooks.halted = bool(getattr(get_flags(), "skip_nodes_if_on_run_start_fails", False))
            return status

    return Hooked


def _as_dbt_has_them(manifest: Any, before: Mapping[str, NodeResult]) -> list[Any]:
    """Results of other calls as objects of dbt's, as far as hooks commonly look: node, status, message, seconds, failures."""
    known: dict[str, Any] = {status.value: status for status in (*RunStatus, *TestStatus)}
    found = []
    for key, result in before.items():
        node = manifest.nodes.get(key) or manifest.unit_tests.get(key)
        if node is None:
            continue
        found.append(
            RunResult(
                status=known.get(result.status, RunStatus.Success if result.good else RunStatus.Error),
                timing=[],
                thread_id=result.thread or "",
                execution_time=result.seconds,
                adapter_response={},
                message=result.message or result.reason or None,
                failures=result.failures,
                node=node,
            )
        )
    return found


def _with_others(context: dict[str, Any], others: Iterable[Any]) -> dict[str, Any]:
    """``results``, ``schemas`` and ``database_schemas`` (``RunTask.after_run``) with those of other calls before them."""
    earlier = list(others)
    built = [
        (result.node.database, result.node.schema)
        for result in earlier
        if getattr(result.node, "is_relational", False) and result.status == RunStatus.Success
    ]
    pairs = list(dict.fromkeys([*built, *context.get("database_schemas", ())]))
    return {
        **context,
        "results": [*earlier, *context.get("results", ())],
        "database_schemas": pairs,
        "schemas": list(dict.fromkeys(schema for _, schema in pairs)),
    }
