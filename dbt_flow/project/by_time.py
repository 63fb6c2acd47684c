"""Which selected models dbt builds by event time: a run may then be told which days."""

from __future__ import annotations

from collections.abc import Iterable

from dbt_flow.project.parsing import Parsed


def microbatch_models(parsed: Parsed, selected: Iterable[str]) -> tuple[str, ...]:
    """The ids of the microbatch models among ``selected``."""
    nodes = parsed.manifest.nodes
    return tuple(
        node
        for node in sorted(selected)
        if node in nodes and getattr(nodes[node].config, "incremental_strategy", None) == "microbatch"
    )
