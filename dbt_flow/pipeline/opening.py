"""What holds for all steps of a run of several: said by the first of them that comes, read by the others (``opened.json``).

Every decision is made here, once: what is planned, what a run that this one follows has good already, whether the sources are
fresh, what is unchanged. So a step that comes later, on another machine perhaps, does what was decided, whatever has changed
since. dbt is loaded for ``require_fresh`` and ``reuse`` alone (:mod:`.deciding`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dbt_flow.errors import DbtFlowError, Place, RunCancelled, RunFailed
from dbt_flow.pipeline.following import take_over
from dbt_flow.plan.decide import decide
from dbt_flow.records import RECORD_VERSION, SKIPPED, NodeResult

if TYPE_CHECKING:
    from dbt_flow.pipeline.isolated import StepAttempt

NAME = "opened.json"


def open_run(step: StepAttempt) -> Mapping[str, Any]:
    """What holds for the run, as the first step that said it has said it.

    :raises DbtFlowError: sources are not fresh, and Metaflow tries the step again; on its last attempt that holds for the run.
    """
    plan = step.plan = step.compiled.plan()
    before = take_over(step.job.store, plan, step.task)
    decisions = decide(
        plan, frozenset(before.good), before.follows, why=step.shape.why, before=before.bad, overtaken=before.overtaken
    )
    to_run = {decision.id for decision in decisions if decision.decision == "run"}
    hooks = bool(to_run)
    step.record.put_if_absent("plan.json", plan.to_dict())
    step.record.put_if_absent("artifacts.json", {"manifest": step.shape.manifest, "database": step.shape.database})
    kept = {node: result for node, result in before.good.items() if node not in to_run}
    unchanged: frozenset[str] = frozenset()
    refused: DbtFlowError | None = None
    dag = step.job.dag
    if to_run and (dag.require_fresh is not None or dag.reuse == "unchanged"):
        from dbt_flow.pipeline.deciding import look_first  # noqa: PLC0415 - here the step begins to cost dbt's import

        try:
            judged = look_first(step, decisions)
        except DbtFlowError as error:
            if step.task.attempt < dag.retries and error.code != "run-cancelled":
                raise
            refused, hooks = error, False
            kept |= {node: NodeResult(node, SKIPPED, reason=error.message) for node in to_run}
        else:
            decisions, unchanged = judged.decisions, judged.reused
            kept |= judged.results()
            to_run -= unchanged
    opened = {
        "version": RECORD_VERSION,
        "started": step.started,
        "parameters": step.parameters,
        "carried": [result.to_dict() for result in kept.values()],
        "unchanged": sorted(unchanged),
        "hooks": hooks,
        "refused": refused.to_dict() if refused else None,
    }
    if step.record.put_if_absent(NAME, opened):
        said = [decision.to_dict() for decision in decisions]
        if refused:
            said = [{**one, "decision": "skip", "reason": refused.message} if one["id"] in to_run else one for one in said]
        step.record.put_if_absent("decisions-0.json", said)
        nodes = [[node.id, node.name, node.type] for node in plan.nodes if node.id in to_run and not refused]
        step.feed.tell("plan", run=f"{step.task.flow}/{step.task.run}", target=plan.target, nodes=nodes, carried=len(kept))
    return step.record.get(NAME) or opened


def refusal_in(opened: Mapping[str, Any]) -> DbtFlowError | None:
    """Why the run builds nothing, as the step that found out said it."""
    said = opened.get("refused")
    if not said:
        return None
    place = Place(said["file"], said["line"], said["column"]) if said["file"] else None
    kind = RunCancelled if said["code"] == "run-cancelled" else RunFailed
    return kind(said["code"], said["message"], place=place, hint=said["hint"])
