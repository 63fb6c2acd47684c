"""``tests: {on_fail: warn, exclude}``: failing data tests that only warn, and tests that are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dbt_flow.errors import ProjectError
from dbt_flow.plan.planned import Plan
from dbt_flow.records import TEST_TYPES, RunResult
from dbt_flow.spec import Dag

if TYPE_CHECKING:  # a step that builds nothing does not load dbt
    from dbt_flow.project.parsing import Parsed

Select = Callable[[tuple[str, ...]], frozenset[str]]
"""dbt's own selection."""


def without_excluded(dag: Dag, selected: frozenset[str], select: Select) -> frozenset[str]:
    """What is selected without the tests that ``tests.exclude`` takes; it takes no models, whatever it selects.

    :raises ProjectError: dbt refuses it; the place is the DAG file's line.
    """
    if not dag.tests.exclude:
        return selected
    try:
        taken = select(dag.tests.exclude)
    except ProjectError as error:
        place = error.place or dag.place("tests.exclude")
        raise ProjectError(error.code, error.message, place=place, hint=error.hint) from error
    return frozenset(node for node in selected if node not in taken or node.partition(".")[0] not in TEST_TYPES)


def soften(dag: Dag, plan: Plan, parsed: Parsed) -> None:
    """Let dbt itself warn where a data test of the plan would fail, by its severity in the manifest of this process.

    Whatever would have been an error is at least a warning, also where ``warn_if`` is laxer than ``error_if``. Unit tests have
    no severity in dbt: they check code, not data, and go on blocking. The plan keeps the severity of the project.
    """
    if dag.tests.on_fail != "warn":
        return
    for node in plan.nodes:
        if node.type == "test" and node.severity != "warn":
            config = parsed.manifest.nodes[node.id].config
            config.severity = "warn"
            if config.error_if != config.warn_if:
                config.warn_if = f"{config.warn_if} or {config.fail_calc} {config.error_if}"


def told_softened(dag: Dag, plan: Plan | None, result: RunResult) -> RunResult:
    """The result, in which each warning that is one only because of the DAG file says so."""
    if dag.tests.on_fail != "warn" or plan is None:
        return result
    place = dag.place("tests.on_fail")
    softened = {node.id for node in plan.nodes if node.type == "test" and node.severity != "warn"}
    why = f"a warning here, and no error: {place.file}:{place.line or 1} says tests.on_fail: warn"
    nodes = tuple(replace(node, reason=why) if node.status == "warn" and node.id in softened else node for node in result.nodes)
    return replace(result, nodes=nodes)
