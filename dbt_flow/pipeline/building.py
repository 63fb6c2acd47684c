"""What every call of dbt for a run shares: the order in which nodes start, what hooks said, the manifest that is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from dbt_flow.plan.paths import ranks
from dbt_flow.plan.planned import Plan
from dbt_flow.project.parsing import Parsed
from dbt_flow.run.recorder import Recorder
from dbt_flow.state.durations import usual_durations
from dbt_flow.state.store import Store


def longest_first(store: Store, plan: Plan) -> Mapping[str, float]:
    """For each node the seconds of the longest path that begins with it, by what nodes took before on this target."""
    return ranks(plan, _expected(plan, usual_durations(store, plan.target)))


def _expected(plan: Plan, known: Mapping[str, float]) -> dict[str, float]:
    """Seconds for every planned node: what it usually takes, else what such nodes take here, else a guess."""
    guess = {True: 0.1, False: 1.0}
    for is_test in (True, False):
        times = [known[node.id] for node in plan.nodes if node.is_test is is_test and node.id in known]
        guess[is_test] = sum(times) / len(times) if times else guess[is_test]
    return {node.id: known.get(node.id, guess[node.is_test]) for node in plan.nodes}


def hooks_that_failed(recorder: Recorder) -> str:
    """What dbt said of the project's hooks that failed; empty when none did."""
    return "; ".join(f"{hook.id.split('.')[-1]}: {hook.message}" for hook in recorder.hooks.values() if not hook.good)


def has_hooks(parsed: Parsed) -> bool:
    """Whether the project or one of its packages has ``on-run-start`` or ``on-run-end``."""
    return any(node.startswith("operation.") for node in parsed.manifest.nodes)


def keep_manifest(store: Store, parsed: Parsed) -> str:
    """Keep the manifest once, however many runs share it, and before anything is built; gives its digest."""
    key = f"manifests/{parsed.manifest_digest}.json"
    if store.get(key) is None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "manifest.json"
            parsed.manifest.write(str(file))
            store.put(key, file.read_bytes())
    return parsed.manifest_digest
