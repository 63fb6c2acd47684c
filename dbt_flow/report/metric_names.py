"""Every metric that is sent: its name, kind, unit and meaning. ``docs/metrics.md`` prints this table and a test holds the two.

Tags of all: ``env``, ``service``, ``project``, ``dag``, ``owner``, ``target``, ``trigger``, and ``status`` where there is one.
Metrics of nodes also have ``node`` and ``type``. A run's id is never a tag: it would make a time series of every run.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "dbt_flow."

COUNT, GAUGE, DISTRIBUTION = "count", "gauge", "distribution"


@dataclass(frozen=True)
class Metric:
    """A row of the table."""

    name: str
    kind: str
    unit: str
    says: str

    @property
    def full(self) -> str:
        """The name as it is sent."""
        return PREFIX + self.name


METRICS = (
    Metric("dag.runs", COUNT, "run", "a run has ended; the tag status says how"),
    Metric("dag.duration", DISTRIBUTION, "second", "how long the run took"),
    Metric("dag.attempts", GAUGE, "attempt", "attempts that the run took"),
    Metric("dag.nodes", GAUGE, "node", "planned nodes with each status (the tag status)"),
    Metric("dag.root_causes", GAUGE, "cause", "things that went wrong; 0 for a good run"),
    Metric("dag.blocked", GAUGE, "node", "nodes that were skipped because of them"),
    Metric("dag.reused", GAUGE, "node", "nodes whose good result of an earlier attempt or run was kept"),
    Metric("dag.rows", COUNT, "row", "rows written, where the adapter says"),
    Metric("dag.success", GAUGE, "", "1 for a good run, else 0"),
    Metric("dag.last_success", GAUGE, "second", "how long ago the last good run ended; 0 for a good run"),
    Metric("dag.schedule_delay", GAUGE, "second", "from the time that the schedule names to the run's start"),
    Metric("dag.late", GAUGE, "", "1 when the run was not good by its done_by, else 0; only for DAGs that have one"),
    Metric("dag.lateness", GAUGE, "second", "from done_by to the run's end; below 0 when it was in time"),
    Metric("dag.cpu", GAUGE, "second", "processor time of the run's processes, of all of its steps"),
    Metric("dag.memory", GAUGE, "byte", "the most memory that the run's process held, or one of its steps"),
    Metric("dag.read", GAUGE, "byte", "what its processes read from disks, where the system says"),
    Metric("dag.written", GAUGE, "byte", "what its processes wrote to disks, where the system says"),
    Metric("source.age", GAUGE, "second", "how old the newest row of a source is, where its freshness was looked at"),
    Metric("node.results", COUNT, "node", "a node has ended; the tag status says how"),
    Metric("node.duration", DISTRIBUTION, "second", "how long the node took"),
    Metric("node.rows", GAUGE, "row", "rows that the node wrote, where the adapter says"),
    Metric("node.failures", GAUGE, "row", "rows that a test found"),
    Metric("node.failed", GAUGE, "", "1 for a root cause, 0 when a node that failed lately is good again"),
    Metric("node.cpu", GAUGE, "second", "processor time of the node's own step, where isolate gives it one"),
    Metric("node.memory", GAUGE, "byte", "the most memory that the node's own step held"),
    Metric("node.read", GAUGE, "byte", "what the node's own step read from disks"),
    Metric("node.written", GAUGE, "byte", "what the node's own step wrote to disks"),
    Metric("alerts.waiting", GAUGE, "message", "pages and messages that could not be sent yet"),
)
"""The one table."""

BY_NAME = {metric.name: metric for metric in METRICS}

SERVICE_CHECK_DAG = PREFIX + "dag"
"""OK after a good run, CRITICAL after a failed one, WARNING when somebody stopped it; tagged like the metrics of DAGs."""
SERVICE_CHECK_NODE = PREFIX + "node"
"""CRITICAL for a root cause, OK when it is good again: what the monitor of failures stands on."""


def table() -> str:
    """The table in Markdown, as ``docs/metrics.md`` has it."""
    head = "| metric | kind | unit | says |\n|---|---|---|---|\n"
    return head + "".join(f"| `{m.full}` | {m.kind} | {m.unit or '-'} | {m.says} |\n" for m in METRICS)
