"""What a DAG waits for: the names of the events, as Argo Events would match them, and the rule by which they start it.

On Argo the end of a flow is the event ``metaflow.<project>.<branch>.<Flow>.end``, and who waits for it takes project and branch
from itself. So it is under ``serve``, and so it is where the first step of a run decides.
"""

from __future__ import annotations

from collections.abc import Iterable

from dbt_flow.plan.arrivals import Listener
from dbt_flow.records import flow_name
from dbt_flow.spec import Dag


def finish_name(project: str | None, branch: str | None, flow: str) -> str:
    """The event that a flow's good end is, as Metaflow names it."""
    return ".".join(part for part in ("metaflow", project, branch, flow, "end") if part)


def events_of(dag: Dag, project: str, branch: str) -> dict[str, str]:
    """The events that a DAG waits for, each with its name as the DAG file has it."""
    start = dag.trigger
    if start.event:
        return {start.event.name: start.event.name}
    names = start.after.names if start.after else ()
    # A DAG is named as its file, an ML flow as its class: the first is a flow's name in lower case.
    return {finish_name(project, branch, flow_name(name) if name[0].islower() else name): name for name in names}


def rule_of(dag: Dag, events: Iterable[str]) -> Listener:
    """When a DAG that waits for these starts."""
    start, waits = dag.trigger, tuple(events)
    return Listener(
        dag.name,
        waits,
        any=bool(start.after and start.after.any),
        within=float(start.within.seconds) if start.within else None,
        at_latest=start.at_latest if waits else None,
        zone=dag.timezone,
        otherwise=start.otherwise,
    )
